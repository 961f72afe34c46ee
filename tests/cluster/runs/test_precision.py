"""Facts of the arithmetic that a machine makes of a run's settings."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cluster.runs import precision
from cluster.runs.precision import arithmetic

CPU = torch.device("cpu")

WITHOUT_COMPILER = """
import torch
from cluster.runs.precision import arithmetic
for setting in ("auto", "on"):
    with arithmetic("auto", device=torch.device("cpu"), compile=setting) as how:
        print(how.compiled)
"""


@pytest.fixture(autouse=True)
def _plain() -> Iterator[None]:
    """Every fact here begins from torch's own default."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    yield
    torch.set_float32_matmul_precision(before)


def test_a_cpu_computes_in_float32_unless_it_is_told_otherwise() -> None:
    with arithmetic("auto", device=CPU) as how:
        assert (how.precision, how.products) == ("float32", None)
    with arithmetic("bf16", device=CPU) as how:
        assert how.products == torch.bfloat16


def test_plain_float32_is_plain() -> None:
    torch.set_float32_matmul_precision("medium")
    with arithmetic("float32", device=CPU) as how:
        assert how.matmul == torch.get_float32_matmul_precision() == "highest"


@pytest.mark.parametrize("setting", ["auto", "float32", "bf16"])
def test_what_a_block_sets_is_put_back_also_after_an_error(
    setting: precision.Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "FAITHFUL", 1e9)  # so that the faster product is taken
    torch.set_float32_matmul_precision("high")
    with pytest.raises(KeyError), arithmetic(setting, device=CPU):
        raise KeyError
    assert torch.get_float32_matmul_precision() == "high"


def test_a_faster_product_that_is_less_accurate_is_not_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "FAITHFUL", 0.0)
    with arithmetic("auto", device=CPU) as how:
        assert how.matmul == "highest"


def test_a_cpu_compiles_only_when_it_is_told_to() -> None:
    for setting in ("auto", "off"):
        with arithmetic("auto", device=CPU, compile=setting) as how:
            assert not how.compiled


def test_an_arithmetic_says_itself_in_one_line() -> None:
    with arithmetic("float32", device=CPU) as how:
        assert str(how) == "float32 on cpu, highest matrix products, not compiled"


@pytest.mark.slow
def test_compiling_without_a_compiler_is_refused_in_one_line(tmp_path: Path) -> None:
    called = subprocess.run(
        [sys.executable, "-c", WITHOUT_COMPILER],
        env={**os.environ, "CXX": "/bin/false", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert called.stdout == "False\n"
    last = called.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: compile is on and torch.compile does not work here (")
    assert last.endswith("set compile to off, or install a C++ compiler")
