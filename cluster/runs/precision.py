"""How this machine computes a run: number format, matrix products, compiled or not.

A run asks for `precision` and `compile`; what the machine then uses is an `Arithmetic`, which is
written down with the result.

On CPU, torch's "medium" setting lets oneDNN build float32 products from bfloat16 pieces. If it
keeps all the pieces that matter, the result is as accurate and twice as fast; otherwise it may be
plain bfloat16. So each machine is tested first. On CUDA, "highest" keeps TF32 off.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from cluster.settings.choices import Compile, Precision
from scdfm.flow.provenance import ArithmeticFacts

FAITHFUL = 4.0  # times the error of the plain float32 product


class Arithmetic(NamedTuple):
    """How a field is computed.

    Attributes:
        device: "cpu" or "cuda".
        precision: Number format of the products under autocast; float32: no autocast.
        matmul: torch's name for the float32 product in use: "highest" is plain float32.
        compiled: The velocity goes through torch.compile.
    """

    device: str
    precision: Literal["float32", "bf16"]
    matmul: str
    compiled: bool

    @property
    def products(self) -> torch.dtype | None:
        """The format for autocast; None: no autocast."""
        return torch.bfloat16 if self.precision == "bf16" else None

    def facts(self) -> ArithmeticFacts:
        """What is written of it."""
        return ArithmeticFacts(**self._asdict())

    def __str__(self) -> str:
        compiled = "compiled" if self.compiled else "not compiled"
        return f"{self.precision} on {self.device}, {self.matmul} matrix products, {compiled}"


@contextmanager
def arithmetic(
    precision: Precision, *, device: torch.device, compile: Compile = "off"
) -> Iterator[Arithmetic]:
    """Set this process up for the time of the block.

    Args:
        precision: "auto": float32 on CPU, by the faster product where it is as accurate; bfloat16
            under autocast on a GPU that has it, else float32. "float32": plain. "bf16": on any
            device, whatever it costs.
        device: Where the field is.
        compile: "auto": on a GPU where the compiler works.

    Raises:
        ValueError: The GPU has no bfloat16, or the compiler does not work here.
    """
    before = torch.get_float32_matmul_precision()
    try:
        yield set_up(precision, device=device, compile=compile)
    finally:
        torch.set_float32_matmul_precision(before)


def set_up(precision: Precision, *, device: torch.device, compile: Compile = "off") -> Arithmetic:
    """Set this process up for good; otherwise as `arithmetic`."""
    chosen = _format(precision, device=device)
    torch.set_float32_matmul_precision("highest")
    if precision != "float32":
        fast_matmul(device)
    return Arithmetic(
        device=device.type,
        precision=chosen,
        matmul=torch.get_float32_matmul_precision(),
        compiled=_compiles(compile, device=device),
    )


def expected(precision: Precision, *, device: str) -> Literal["float32", "bf16"]:
    """The number format that a setting probably means on a kind of device, without asking one."""
    if precision == "auto":
        return "float32" if device == "cpu" else "bf16"
    return precision


def _format(precision: Precision, *, device: torch.device) -> Literal["float32", "bf16"]:
    wanted = expected(precision, device=device.type)
    if wanted == "float32" or device.type == "cpu" or _gpu_has_bf16():
        return wanted
    if precision == "auto":
        return "float32"
    raise ValueError(
        f"expected a GPU with bfloat16 for precision bf16, got {torch.cuda.get_device_name(device)}"
        "; set precision to float32"
    )


def _gpu_has_bf16() -> bool:
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def fast_matmul(device: torch.device) -> None:
    """Switch a CPU to the faster float32 product if it is as accurate as the plain one."""
    if device.type != "cpu":
        return
    torch.set_float32_matmul_precision("highest")
    plain = _error()
    torch.set_float32_matmul_precision("medium")
    if _error() > FAITHFUL * plain:
        torch.set_float32_matmul_precision("highest")


def _error() -> float:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 256, 256, generator=generator)
    exact = a.double() @ b.double()
    return float(((a @ b).double() - exact).norm() / exact.norm())


def _compiles(compile: Compile, *, device: torch.device) -> bool:
    """Whether to compile. The compiler is tried first: it needs tools that may be missing."""
    if compile == "off" or (compile == "auto" and device.type == "cpu"):
        return False
    try:
        torch.compile(_tried)(torch.ones(2, device=device))
    except (RuntimeError, OSError, ImportError) as error:
        if compile == "auto":
            return False
        reason = str(error).strip().splitlines()[0]
        raise ValueError(
            f"compile is on and torch.compile does not work here ({reason}); set compile to off, "
            "or install a C++ compiler"
        ) from error
    return True


def _tried(x: Tensor) -> Tensor:
    return x.sin() + x
