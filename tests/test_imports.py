"""What importing a package must not load."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "ray", "optuna", "matplotlib")


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("scdfm.screen.conditions", (*HEAVY, "pandas", "scipy", "zarr", "anndata")),
        ("scdfm.screen.names", (*HEAVY, "pandas", "scipy", "zarr", "anndata")),
        ("scdfm.screen.randomness", (*HEAVY, "pandas", "scipy", "zarr", "anndata")),
        ("scdfm.screen.variable_genes", (*HEAVY, "pandas", "scipy", "zarr", "anndata")),
        ("scdfm.screen.atomic", (*HEAVY, "pandas", "scipy", "zarr", "anndata")),
        ("data_store", HEAVY),
        ("data_store.store.reader", HEAVY),
        ("data_store.ingest.write", ("torch", "ray", "optuna")),
    ],
)
def test_a_package_loads_no_library_of_another_layer(package: str, heavy: tuple[str, ...]) -> None:
    code = f"import sys, {package}; print(*(one for one in {heavy!r} if one in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == []
