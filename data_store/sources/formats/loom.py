"""Loom files: genes x cells in an HDF5 array, with attributes of genes (rows) and cells (columns).

Source: linnarssonlab.org/loompy/format (version 3.0.0; earlier ones are read alike).
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from data_store.disk import hdf5
from data_store.disk.columns import Column
from data_store.disk.damage import DamagedError
from data_store.sources.formats import features
from data_store.sources.formats.format import Format, Reading
from data_store.sources.formats.matrices import Matrix
from data_store.sources.notes import note
from data_store.sources.source import Source
from scdfm.screen.names import listed

_GENES, _CELLS = "row_attrs", "col_attrs"
# As loompy, scanpy, velocyto, pySCENIC and the Human Cell Atlas call them.
_SYMBOLS = ("Gene", "var_names", "gene_names", "gene_name", "GeneName", "symbol", "Symbol")
_IDS = ("Accession", "gene_ids", "gene_id", "ensembl_ids", "ID")
_NAMES = ("CellID", "obs_names", "cell_names", "cell_id", "barcode", "barcodes", "Barcode")


class _Turned:
    """An array of genes x cells as cells x genes."""

    def __init__(self, array: h5py.Dataset) -> None:
        self._array = array
        self.shape = array.shape[::-1]
        self.dtype = array.dtype
        self.chunks = array.chunks[::-1] if array.chunks else None

    def __getitem__(self, cells: slice) -> Any:
        return np.ascontiguousarray(self._array[:, cells].T)


def _is_loom(path: Path) -> bool:
    if not hdf5.is_hdf5(path):
        return False
    with hdf5.looked_at(path) as root:
        return all(part in root for part in ("matrix", _GENES, _CELLS))


def _open(path: Path, reading: Reading) -> Source:
    root = hdf5.opened(path)
    genes, cells = root["matrix"].shape
    names = _first(root[_CELLS], _NAMES, of="cell")
    columns = _columns(root[_CELLS], cells=cells, path=path)
    columns.pop(names, None)
    layers = {"X": root["matrix"], **root.get("layers", {})}
    for name, layer in layers.items():
        if layer.shape != (genes, cells):
            raise DamagedError(f"layer {name} is of {layer.shape}, the matrix {(genes, cells)}")
    return Source(
        path=path,
        root=root,
        names=root[_CELLS][names],
        columns=columns,
        homes=dict.fromkeys(columns, root[_CELLS]),
        var=_var(root[_GENES], genes=genes, path=path),
        cells=cells,
        matrices={
            name: Matrix(content=_Turned(layer), form="dense", cells=cells, genes=genes)
            for name, layer in layers.items()
        },
    )


LOOM = Format(title="a .loom file", endings=(".loom",), holds=_is_loom, open=_open)


def _first(attributes: h5py.Group, names: tuple[str, ...], *, of: str) -> str:
    """The attribute that has the names."""
    for name in names:
        if name in attributes:
            return name
    raise DamagedError(
        f"none of its attributes has the names of the {of}s: expected {' or '.join(names[:3])}, "
        f"found {listed(sorted(attributes))}"
    )


def _columns(attributes: h5py.Group, *, cells: int, path: Path) -> dict[str, Column]:
    """The attributes of cells with one value for each."""
    found, others = {}, []
    for name, values in attributes.items():
        if not isinstance(values, h5py.Dataset) or values.ndim != 1:
            others.append(name)
            continue
        if len(values) != cells:
            raise DamagedError(f"attribute {name!r} has {len(values)} values for {cells} cells")
        is_text = values.dtype.kind in "OSU"
        found[name] = Column(
            name,
            encoding="string-array" if is_text else "array",
            version="0.2.0",
            dtypes={"": np.dtype(object) if is_text else values.dtype.newbyteorder("=")},
        )
    if others:
        note(f"{path.name}: left out attributes with several values for a cell: {listed(others)}")
    return found


def _var(attributes: h5py.Group, *, genes: int, path: Path) -> pd.DataFrame:
    """The attributes of genes with one value for each, by symbol."""
    table = {}
    for name, values in attributes.items():
        if isinstance(values, h5py.Dataset) and values.ndim == 1:
            if len(values) != genes:
                raise DamagedError(f"attribute {name!r} has {len(values)} values for {genes} genes")
            is_text = values.dtype.kind in "OSU"
            table[name] = values.asstr()[:] if is_text else values[:]
    frame = pd.DataFrame(table)
    known = _first(attributes, (*_SYMBOLS, *_IDS), of="gene")
    symbols = frame.pop(known).astype(str)
    ids = next((frame[name].astype(str) for name in _IDS if name in frame), symbols)
    return frame.set_axis(features.told_apart(symbols, ids=ids, name=path.name))
