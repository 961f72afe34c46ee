"""10x Genomics' HDF5 matrices: CellRanger 3 and later (`matrix/`), and version 2 (one per genome).

The matrix is stored barcode after barcode, features within: cells x features in CSR. There is no
obs; conditions come from a table (`data_store.sources.tables`).
"""

from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_store.sources.formats.format import Format
from data_store.sources.formats.matrices import Matrix
from data_store.sources.notes import note
from data_store.sources.source import Source

_PARTS = ("barcodes", "data", "indices", "indptr", "shape")
_EXPRESSION = "Gene Expression"
_FEW = 3  # names in a message


class Features(NamedTuple):
    """What the columns of the matrix are."""

    var: pd.DataFrame  # of the genes, by symbol
    kept: NDArray[np.int64] | None  # columns that are genes; None: all


def _is_tenx(path: Path) -> bool:
    if not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path) as root:
            return matrix_group(root, path=path) is not None
    except OSError:  # truncated
        return False


def _open(path: Path) -> Source:
    root = h5py.File(path, mode="r")
    group = matrix_group(root, path=path)
    assert group is not None, path
    features = read_features(group, path=path)
    found = matrix(group, path=path)
    return Source(
        path=path,
        root=root,
        names=group["barcodes"],
        columns={},
        homes={},
        var=features.var,
        cells=found.cells,
        matrices={"X": found},
        kept=features.kept,
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


def read_features(group: h5py.Group, *, path: Path) -> Features:
    """The genes among the features, by symbol; what is left out or renamed is logged.

    Raises:
        ValueError: No feature is gene expression.
    """
    table = _table(group)
    kept = None
    if "feature_types" in table:
        kinds = table["feature_types"]
        table = table[kinds == _EXPRESSION]
        if not len(table):
            raise ValueError(
                f"expected features of type {_EXPRESSION!r} in {path}, found "
                f"{', '.join(sorted(set(kinds)))}; name a file with gene expression"
            )
        if len(table) < len(kinds):
            kept = np.flatnonzero(kinds == _EXPRESSION)
            others = kinds[kinds != _EXPRESSION].value_counts().sort_index()
            listed = ", ".join(f"{count} of type {kind}" for kind, count in others.items())
            note(f"{path.name}: left out features that are not genes: {listed}")
    return Features(var=_by_symbol(table, name=path.name), kept=kept)


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


def _by_symbol(table: pd.DataFrame, *, name: str) -> pd.DataFrame:
    """Symbols as names; the first gene of a name keeps it, others get their id added."""
    again = table["symbol"].duplicated()
    symbols = table["symbol"].where(~again, table["symbol"] + "_" + table["gene_ids"])
    if symbols.duplicated().any():  # repeats that even their ids do not tell apart
        number = symbols.groupby(symbols).cumcount().astype(str)
        symbols = symbols.where(~symbols.duplicated(), symbols + "_" + number)
    if again.any():
        first = ", ".join(symbols[again].iloc[:_FEW])
        note(
            f"{name}: {int(again.sum())} repeated gene names got their id added, "
            f"such as {first}; the first gene keeps the name"
        )
    return table.drop(columns="symbol").set_axis(pd.Index(symbols.to_numpy(dtype=object)))
