"""The matrix product that training and sampling use on this machine.

On CPU, torch's "medium" setting lets oneDNN build float32 products from bfloat16 pieces. Where it
keeps all the pieces that matter the result is as accurate and twice as fast; elsewhere it may be
plain bfloat16. So the machine is asked before it is believed.
"""

import torch

FAITHFUL = 4.0  # times the error of the plain float32 product


def fast_matmul(device: torch.device) -> str:
    """Switch to the fastest product that is as accurate as float32; return its name."""
    if device.type != "cpu":
        return torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    plain = _error()
    torch.set_float32_matmul_precision("medium")
    if _error() > FAITHFUL * plain:
        torch.set_float32_matmul_precision("highest")
    return torch.get_float32_matmul_precision()


def _error() -> float:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 256, 256, generator=generator)
    exact = a.double() @ b.double()
    return float(((a @ b).double() - exact).norm() / exact.norm())
