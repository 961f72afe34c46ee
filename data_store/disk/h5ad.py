"""Cells into an .h5ad file, some rows at a time, by AnnData's own writers.

Every array grows with what is written into it. An HDF5 dataset made in its full length would hold
old bytes of the disk until it is filled.
"""

from collections.abc import Iterable, Iterator

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import write_elem

_LARGEST = 2**31 - 1


def append_rows(
    file: h5py.Group, name: str, blocks: Iterable[sp.csr_matrix], *, nonzero: int
) -> None:
    """Write a sparse matrix whose rows come in blocks.

    Args:
        file: Where to write.
        name: Of the matrix.
        blocks: CSR, at least one, all of one width and one kind of value.
        nonzero: Number of values in all blocks, at most; decides the pointers' type.
    """
    pointers = np.int32 if nonzero < _LARGEST else np.int64
    stored = None
    for block in blocks:
        if stored is None:
            write_elem(file, name, block, dataset_kwargs={"indptr_dtype": pointers})
            stored = anndata.io.sparse_dataset(file[name])
        else:
            stored.append(block)
    assert stored is not None, "no rows to write"


def append_frames(file: h5py.Group, name: str, blocks: Iterable[pd.DataFrame]) -> None:
    """Write a data frame whose rows come in blocks, at least one.

    AnnData encodes each block; the arrays with a value per row are put together. Blocks share
    columns and categories.
    """
    for number, block in enumerate(blocks):
        with h5py.File("block", "w", driver="core", backing_store=False) as encoded:
            write_elem(encoded, name, block)
            if not number:
                encoded.copy(name, file)
                for part in _per_row(encoded[name]):
                    _empty(file[name], part)
            for part in _per_row(encoded[name]):
                _append(file[name][part], encoded[name][part])


def _per_row(frame: h5py.Group) -> Iterator[str]:
    """The arrays of an encoded data frame that have a value per row: all but the categories."""
    names: list[str] = []
    frame.visit(names.append)
    for name in names:
        _, *inside = name.split("/")
        if isinstance(frame[name], h5py.Dataset) and "categories" not in inside:
            yield name


def _empty(frame: h5py.Group, name: str) -> None:
    """Replace an array by an empty one of the same kind that can grow."""
    like = frame[name]
    marks, dtype, chunk = dict(like.attrs), like.dtype, (max(1, len(like)),)
    del frame[name]
    array = frame.create_dataset(name, (0,), maxshape=(None,), dtype=dtype, chunks=chunk)
    array.attrs.update(marks)


def _append(array: h5py.Dataset, values: h5py.Dataset) -> None:
    before = len(array)
    array.resize(before + len(values), axis=0)
    array[before:] = values[:]
