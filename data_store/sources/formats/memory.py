"""AnnData in memory as a source: read like the file that `write_h5ad` would write.

anndata encodes obs and var; matrices are used without a copy.
"""

import hashlib
from dataclasses import replace
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import anndata
import google_crc32c
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import write_elem
from numpy.typing import NDArray

from data_store.disk.columns import read_table
from data_store.sources.formats.anndata_files import of_group
from data_store.sources.formats.matrices import Matrix
from data_store.sources.source import BLOCK, Raw, Source
from scdfm.screen.names import listed

NAME = Path("AnnData in memory")
_FEW = 5  # names in a message


def of_memory(cells: anndata.AnnData, *, path: Path = NAME) -> Source:
    """The cells, which must not be changed while they are read.

    Args:
        cells: Counts in X or a layer, labels in obs.
        path: Where they come from, for a format that reads whole files.

    Raises:
        ValueError: They are backed by a file, anndata cannot write obs or var, or a matrix is
            neither a numpy array nor a sparse matrix of scipy's.
    """
    if cells.isbacked:
        raise ValueError(
            f"expected AnnData in memory, got one backed by {cells.filename}; give that file's "
            "name, or call to_memory()"
        )
    root = h5py.File(BytesIO(), "w")
    _write(root, "obs", cells.obs, cells=cells)
    _write(root, "var", cells.var, cells=cells)
    # What is common with a file is read as from a file.
    source = of_group(root, path=path)
    found = {} if cells.X is None else {"X": cells.X}
    found |= {name: cells.layers[name] for name in sorted(cells.layers)}
    size = {"cells": source.cells, "genes": len(source.var)}
    read = {name: _matrix(layer, name=name, **size) for name, layer in found.items()}
    return replace(source, matrices=read, raw=None if cells.raw is None else partial(_raw, cells))


def _raw(cells: anndata.AnnData) -> Raw:
    root = h5py.File(BytesIO(), "w")
    _write(root, "var", cells.raw.var, cells=cells)
    size = {"cells": cells.n_obs, "genes": cells.raw.n_vars}
    return Raw(read_table(root["var"]), _matrix(cells.raw.X, name="raw", **size))


def content_of(source: Source) -> str:
    """The identity of cells in memory, from their names, obs, var and matrices.

    As for a file, it is a hash of the checksums of all blocks.
    """
    digest = hashlib.sha256()

    def visit(name: str, element: h5py.Group | h5py.Dataset) -> None:
        marks = sorted((key, np.asarray(value).tolist()) for key, value in element.attrs.items())
        digest.update(f"{name} {marks}\n".encode())
        if isinstance(element, h5py.Dataset):
            _add(digest, name, np.asarray(element))

    source.root.visititems(visit)
    for name, matrix in source.matrices.items():
        parts = matrix.content if isinstance(matrix.content, dict) else {"values": matrix.content}
        for part, values in parts.items():
            _add(digest, f"{name} {matrix.form} {part}", values)
    return digest.hexdigest()


def _add(digest: "hashlib._Hash", name: str, values: NDArray[Any]) -> None:
    digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
    if values.dtype.kind == "O":  # texts
        digest.update(repr(values.tolist()).encode())
        return
    raw = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    for start in range(0, len(raw), BLOCK):
        block = raw[start : start + BLOCK].tobytes()
        digest.update(google_crc32c.value(block).to_bytes(4, "little"))


def _write(root: h5py.File, name: str, table: pd.DataFrame, *, cells: anndata.AnnData) -> None:
    table = table.copy()
    try:
        cells.strings_to_categoricals(table)  # as write_h5ad does
        with anndata.settings.override(allow_write_nullable_strings=True):
            write_elem(root, name, table)
    # anndata raises what pandas, h5py or numpy raised, with notes of its own.
    except Exception as error:
        raise ValueError(
            f"expected columns of text, numbers, booleans or categories in {name} of the AnnData, "
            f"got {_odd(table)}; convert or drop it"
        ) from error


def _odd(table: pd.DataFrame) -> str:
    """The column that anndata cannot write, and what is in it."""
    for name in table.columns:
        with h5py.File(BytesIO(), "w") as file:
            try:
                write_elem(file, "column", table[[name]])
            except Exception:  # noqa: BLE001
                kinds = sorted({type(value).__name__ for value in table[name]})
                return f"a column {name!r} with values of {listed(kinds, most=_FEW)}"
    return "something else"


def _matrix(values: Any, *, name: str, cells: int, genes: int) -> Matrix:
    if isinstance(values, np.ndarray):
        return Matrix(content=np.asarray(values), form="dense", cells=cells, genes=genes)
    form = getattr(values, "format", None)
    if not sp.issparse(values) or form not in ("csr", "csc"):
        raise ValueError(
            f"expected {name} of the AnnData to be a numpy array, or a CSR or CSC matrix of "
            f"scipy's, got {type(values).__name__}; convert it"
        )
    sparse: Any = values
    content = {"data": sparse.data, "indices": sparse.indices, "indptr": sparse.indptr}
    return Matrix(content=content, form=form, cells=cells, genes=genes)
