"""10x Genomics' HDF5 matrices: CellRanger 3 and later (`matrix/`), and version 2 (one per genome).

The matrix is stored barcode after barcode, features within: cells x features in CSR. There is no
obs; conditions come from a table (`data_store.sources.tables`).
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from data_store.disk import hdf5
from data_store.sources.formats import features
from data_store.sources.formats.format import Format, Reading
from data_store.sources.formats.matrices import Matrix
from data_store.sources.source import Source

_PARTS = ("barcodes", "data", "indices", "indptr", "shape")


def _is_tenx(path: Path) -> bool:
    if not hdf5.is_hdf5(path):
        return False
    with hdf5.looked_at(path) as root:
        return matrix_group(root, path=path) is not None


def _open(path: Path, reading: Reading) -> Source:
    root = hdf5.opened(path)
    group = matrix_group(root, path=path)
    assert group is not None, path
    genes = features.chosen(
        _table(group), types=reading.feature_types, where=str(path), name=path.name
    )
    found = matrix(group, path=path)
    return Source(
        path=path,
        root=root,
        names=group["barcodes"],
        columns={},
        homes={},
        var=genes.var,
        cells=found.cells,
        matrices={"X": found},
        kept=genes.kept,
    )


TENX = Format(title="a 10x .h5 file", endings=(".h5",), holds=_is_tenx, open=_open)


def matrix_group(root: h5py.File, *, path: Path) -> h5py.Group | None:
    """The group with the matrix of a 10x file; None if it is not a 10x file.

    Raises:
        ValueError: An older file with more than one genome.
    """
    if "obs" in root:  # AnnData
        return None
    if "matrix" in root:
        return root["matrix"] if _is_matrix(root["matrix"]) else None
    genomes = [name for name in root if _is_matrix(root[name])]
    if len(genomes) > 1:
        raise ValueError(
            f"expected one genome in the 10x file {path}, found {', '.join(genomes)}; write the "
            "cells of each to a file of its own"
        )
    return root[genomes[0]] if genomes else None


def matrix(group: h5py.Group, *, path: Path) -> Matrix:
    """Cells x features.

    Raises:
        ValueError: Parts of it contradict each other.
    """
    features, cells = (int(size) for size in group["shape"][:])
    if len(group["barcodes"]) != cells or len(group["indptr"]) != cells + 1:
        raise ValueError(
            f"expected {cells} barcodes in the 10x file {path}, found {len(group['barcodes'])} and "
            f"{len(group['indptr']) - 1} columns of the matrix; copy or download it again"
        )
    return Matrix(content=group, form="csr", cells=cells, genes=features)


def _is_matrix(group: Any) -> bool:
    return isinstance(group, h5py.Group) and all(part in group for part in _PARTS)


def _table(group: h5py.Group) -> pd.DataFrame:
    if "features" in group:
        parts = group["features"]
        names = {"symbol": "name", "gene_ids": "id", "feature_types": "feature_type"}
        names |= {"genome": "genome"} if "genome" in parts else {}
    else:
        parts, names = group, {"symbol": "gene_names", "gene_ids": "genes"}
    return pd.DataFrame({ours: _text(parts[theirs]) for ours, theirs in names.items()})


def _text(dataset: h5py.Dataset) -> list[str]:
    return [word.decode() for word in np.asarray(dataset[:], dtype="S").tolist()]
