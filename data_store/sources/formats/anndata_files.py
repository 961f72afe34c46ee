"""AnnData on disk: .h5ad files and anndata's .zarr directories, in today's or older encodings."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr

from data_store.disk import columns as cols
from data_store.disk import hdf5
from data_store.disk.columns import Column
from data_store.disk.damage import DamagedError
from data_store.sources.formats import legacy, matrices
from data_store.sources.formats.format import Format, Reading
from data_store.sources.source import Raw, Source

_PARTS = ("obs", "var")
_LONG = 1_000  # values
MODALITIES = "mod"  # the group with the data of an .h5mu file, which has obs and var, too


def _is_h5ad(path: Path) -> bool:
    if not hdf5.is_hdf5(path):
        return False
    with hdf5.looked_at(path) as root:
        return any(part in root for part in _PARTS) and MODALITIES not in root


def _open_h5ad(path: Path, reading: Reading) -> Source:
    return of_group(hdf5.opened(path), path=path)


def _is_zarr(path: Path) -> bool:
    try:
        return path.is_dir() and any(part in zarr.open_group(path, mode="r") for part in _PARTS)
    except (OSError, ValueError, KeyError):
        return False


def _open_zarr(path: Path, reading: Reading) -> Source:
    source = of_group(zarr.open_group(path, mode="r"), path=path)
    for matrix in source.matrices.values():
        if matrix.form in ("csr", "csc"):
            _refuse_lost(matrix.content)
    return source


H5AD = Format(title="an .h5ad file", endings=(".h5ad",), holds=_is_h5ad, open=_open_h5ad)
ZARR = Format(
    title="an anndata .zarr directory", endings=(".zarr",), holds=_is_zarr, open=_open_zarr
)


def of_group(root: Any, *, path: Path) -> Source:
    """The cells in an open group, h5py's or zarr's.

    Raises:
        OSError, RuntimeError, KeyError, AttributeError: It is damaged, as the library says it.
        ValueError: A part is missing.
    """
    for part in _PARTS:
        if part not in root:
            raise ValueError(
                f"expected AnnData with obs and var in {path}, found no {part!r} "
                f"among {', '.join(sorted(root)) or 'nothing'}; write it with anndata"
            )
    var = _table(root, "var")
    obs = root["obs"]
    names = _column_names(obs)
    if names is None or any(cols.describe(obs, name) is None for name in names):
        obs = cols.in_memory(_readable_columns(_table(root, "obs")))
        names = _column_names(obs)
    assert names is not None
    index = obs[str(obs.attrs["_index"])]
    columns = {name: column for name in names if (column := cols.describe(obs, name)) is not None}
    cell_names = index["values"] if hasattr(index, "keys") else index
    size = {"cells": int(cell_names.shape[0]), "genes": len(var)}
    _refuse_ragged(obs, columns, cells=size["cells"])
    layers = {"X": root["X"]} if "X" in root else {}
    layers |= {name: root["layers"][name] for name in sorted(root.get("layers", ()))}
    return Source(
        path=path,
        root=root,
        names=cell_names,
        columns=columns,
        homes=dict.fromkeys(columns, obs),
        var=var,
        cells=size["cells"],
        matrices={name: matrices.of_anndata(layer, **size) for name, layer in layers.items()},
        raw=partial(_raw, root, home, cells=size["cells"]) if (home := _raw_home(root)) else None,
    )


def _refuse_lost(group: zarr.Group) -> None:
    """Refuse values whose files are lost, as after half a copy: zarr would read them as zeros."""
    for name in ("data", "indices"):
        array = group[name]
        assert isinstance(array, zarr.Array)
        # zarr leaves out pieces that are all zero; a long one of these two is not.
        lost = array.nchunks - array.nchunks_initialized
        if lost > 0 and array.size > _LONG:
            raise DamagedError(f"{lost} of {array.nchunks} pieces of its {name} are missing")


def _table(root: Any, part: str) -> pd.DataFrame:
    if legacy.is_compound(root[part]):
        return legacy.read_table(root[part], uns=root.get("uns", {}))
    if legacy.is_group_of_columns(root[part]):
        return legacy.read_columns(root[part])
    return cols.read_table(root[part])


def _raw_home(root: Any) -> str | None:
    """What comes before X and var of .raw: a group, or a name as anndata 0.6 wrote it."""
    homes = ("raw/", "raw.")
    return next((home for home in homes if all(f"{home}{p}" in root for p in ("X", "var"))), None)


def _raw(root: Any, home: str, *, cells: int) -> Raw:
    var = _table(root, f"{home}var")
    matrix = matrices.of_anndata(root[f"{home}X"], cells=cells, genes=len(var))
    return Raw(var=var, matrix=matrix)


def _column_names(obs: Any) -> list[str] | None:
    """Column names of an obs group in today's encoding; None for an older one."""
    if str(obs.attrs.get("encoding-version", "")) != "0.2.0" or not hasattr(obs, "keys"):
        return None
    return [str(name) for name in np.asarray(obs.attrs["column-order"]).tolist()]


def _readable_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Older files: what pandas holds as objects becomes text."""
    table = table.rename(columns=str)
    for name in table.select_dtypes(object).columns:
        table[name] = table[name].astype("category")
    table.index = table.index.astype(str)
    return table


def _refuse_ragged(obs: Any, columns: Mapping[str, Column], *, cells: int) -> None:
    for name, column in columns.items():
        for part in column.dtypes:
            length = int((obs[name][part] if part else obs[name]).shape[0])
            if length != cells:
                raise DamagedError(f"obs column {name!r} has {length} values for {cells} cells")
