"""A matrix gives the same rows whatever its form and however little is held at once."""

import errno
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
import zarr
from anndata.io import write_elem

from data_store.sources.formats import entries, matrices
from data_store.sources.formats.known import open_source
from data_store.sources.formats.matrices import Matrix
from tests.data_store.cells import adata, written

CELLS, GENES = 300, 40


def counts(*, density: float = 0.2) -> sp.csr_matrix:
    rng = np.random.default_rng(3)
    matrix = sp.random_array(
        (CELLS, GENES), density=density, rng=rng, data_sampler=lambda size: rng.integers(1, 9, size)
    )
    return sp.csr_matrix(matrix, dtype=np.float32)


def stored(values: object, path: Path) -> Matrix:
    """The matrix as AnnData writes it, to h5 or zarr by the path's ending."""
    if path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            write_elem(file, "X", values)
        root = h5py.File(path)
    else:
        write_elem(zarr.open_group(path, mode="w", zarr_format=3), "X", values)
        root = zarr.open_group(path, mode="r")
    return matrices.of_anndata(root["X"], cells=CELLS, genes=GENES)


def all_rows(matrix: Matrix, *, elements: int, scratch: Path | None = None) -> sp.csr_matrix:
    found, next_row = [], 0
    for start, block in matrices.blocks(matrix, elements=elements, scratch=scratch):
        assert start == next_row
        next_row += block.shape[0]
        found.append(block)
    return sp.vstack(found, format="csr")


@pytest.mark.parametrize("name", ["m.h5", "m.zarr"])
@pytest.mark.parametrize("elements", [7, 150, 10**6])
@pytest.mark.parametrize("form", ["csr", "csc", "dense"])
def test_rows_are_the_same_for_every_form_and_size_of_block(
    tmp_path: Path, name: str, elements: int, form: str
) -> None:
    expected = counts()
    forms = {"csr": expected, "csc": sp.csc_matrix(expected), "dense": expected.toarray()}
    found = all_rows(stored(forms[form], tmp_path / name), elements=elements, scratch=tmp_path)
    assert (found != expected).nnz == 0
    assert found.has_sorted_indices
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_empty_rows_and_columns_of_a_matrix_by_columns_are_kept(tmp_path: Path) -> None:
    values = counts(density=0.01)
    values = sp.csr_matrix(values.multiply(np.arange(CELLS)[:, None] % 2))
    found = all_rows(stored(sp.csc_matrix(values), tmp_path / "m.h5"), elements=5)
    assert (found != values).nnz == 0
    nothing = sp.csc_matrix((CELLS, GENES), dtype=np.float32)
    assert all_rows(stored(nothing, tmp_path / "n.h5"), elements=5).nnz == 0


def test_blocks_hold_no_more_values_than_asked_for(tmp_path: Path) -> None:
    for name, values in {"r.h5": counts(), "c.h5": sp.csc_matrix(counts())}.items():
        blocks = matrices.blocks(stored(values, tmp_path / name), elements=60, scratch=None)
        assert max(block.nnz for _, block in blocks) <= 60


def test_what_is_left_half_read_leaves_nothing_on_disk(tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    matrix = stored(sp.csc_matrix(counts()), tmp_path / "m.h5")
    blocks = matrices.blocks(matrix, elements=50, scratch=tmp_path / "scratch")
    next(blocks)
    assert list((tmp_path / "scratch").iterdir())
    blocks.close()
    assert not list((tmp_path / "scratch").iterdir())


def test_the_head_of_a_matrix_shows_its_values_without_sorting_them(tmp_path: Path) -> None:
    for form in (sp.csr_matrix, sp.csc_matrix):
        matrix = stored(form(counts() * 1.5), tmp_path / f"{form.__name__}.h5")
        head = matrices.head(matrix, elements=30)
        assert 0 < head.nnz <= 30
        assert set(head.data) <= set(counts().data * 1.5)


def test_dense_rows_are_read_in_whole_chunks(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("X", data=counts().toarray(), chunks=(32, 10), compression="gzip")
    content = h5py.File(tmp_path / "m.h5")["X"]
    matrix = Matrix(content=content, form="dense", cells=CELLS, genes=GENES)
    starts = [start for start, _ in matrices.blocks(matrix, elements=80 * GENES, scratch=None)]
    assert starts[:3] == [0, 64, 128]


@pytest.mark.parametrize(
    ("part", "change", "match"),
    [
        ("indices", lambda x: np.where(x == x.max(), 99_999, x), "not below"),
        ("indptr", lambda x: x[::-1].copy(), "damaged"),
        ("data", lambda x: x[:-5], "missing"),
    ],
    ids=["index", "pointers", "values"],
)
@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix], ids=["csr", "csc"])
def test_parts_that_contradict_each_other_are_refused(
    tmp_path: Path, form: type, part: str, change: object, match: str
) -> None:
    with h5py.File(tmp_path / "m.h5", "w") as file:
        write_elem(file, "X", form(counts()))
        values = change(file[f"X/{part}"][:])  # type: ignore[operator]
        del file[f"X/{part}"]
        file[f"X/{part}"] = values
    matrix = matrices.of_anndata(h5py.File(tmp_path / "m.h5")["X"], cells=CELLS, genes=GENES)
    with pytest.raises(OSError, match=match):
        all_rows(matrix, elements=100)


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, sp.csr_matrix.toarray])
def test_the_mean_number_of_values_is_known_before_rows_are_read(
    tmp_path: Path, form: Callable[[sp.csr_matrix], object]
) -> None:
    matrix = stored(form(counts()), tmp_path / "m.h5")
    assert matrices.values_per_cell(matrix) == counts().nnz / CELLS


def test_a_full_disk_is_not_taken_for_a_damaged_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = adata()
    cells.X = sp.csc_matrix(cells.X)
    source = open_source(written(cells, tmp_path))

    def full(*paths: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "columns-x")

    monkeypatch.setattr(entries.tempfile, "mkdtemp", full)
    with pytest.raises(OSError, match="No space left"):
        list(source.blocks("X", elements=50))
    source.close()
