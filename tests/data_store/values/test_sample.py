"""A sample is whole rows of the matrix, spread from the first to the last, in every form."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from anndata.io import write_elem

from data_store.sources.formats import matrices
from data_store.sources.formats.matrices import Matrix

CELLS, GENES = 3_000, 40


def numbered() -> sp.csr_matrix:
    """Rows that tell their number: it is their first value."""
    rng = np.random.default_rng(0)
    values = rng.poisson(0.4, (CELLS, GENES)).astype(np.float32)
    values[:, 0] = np.arange(CELLS) + 1
    return sp.csr_matrix(values)


def stored(cells: object, folder: Path) -> Matrix:
    with h5py.File(folder / "m.h5", "w") as file:
        write_elem(file, "X", cells)
    element = h5py.File(folder / "m.h5")["X"]
    return matrices.of_anndata(element, cells=CELLS, genes=GENES)


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_matrix.toarray])
@pytest.mark.parametrize("elements", [1_000, 10_000, 10**7])
def test_rows_are_whole_and_spread_over_the_matrix(
    tmp_path: Path, form: Callable[[sp.csr_matrix], object], elements: int
) -> None:
    rows = matrices.sample(stored(form(numbered()), tmp_path), elements=elements).toarray()
    numbers = rows[:, 0].astype(int) - 1
    np.testing.assert_array_equal(rows, numbered()[numbers].toarray())
    assert (numbers[0], numbers[-1]) == (0, CELLS - 1)
    assert np.diff(numbers).max() <= CELLS / 10
    assert len(numbers) == CELLS or elements < 10**7
