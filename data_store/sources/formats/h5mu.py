"""MuData on disk (.h5mu): several AnnData with cells in common, of which one is read.

Labels often stand in the table of all cells (`obs` of the file), not in that of a modality. Its
columns are read, too, where the modality has none of that name.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_store.disk import columns as cols
from data_store.disk import hdf5
from data_store.disk.damage import DamagedError
from data_store.sources.formats.anndata_files import MODALITIES, of_group
from data_store.sources.formats.format import Format, Reading
from data_store.sources.notes import note
from data_store.sources.source import Source
from data_store.sources.tables import frame_columns, taken
from scdfm.screen.names import aside, listed

_USUAL = ("rna", "RNA", "gex", "gene", "rna_expression")


def _is_h5mu(path: Path) -> bool:
    if not hdf5.is_hdf5(path):
        return False
    with hdf5.looked_at(path) as root:
        return MODALITIES in root


def _open(path: Path, reading: Reading) -> Source:
    root = hdf5.opened(path)
    name = _modality(sorted(root[MODALITIES]), asked=reading.modality, path=path)
    source = replace(of_group(root[MODALITIES][name], path=path), root=root)
    return _with_common(source, root, modality=name)


H5MU = Format(title="an .h5mu file", endings=(".h5mu",), holds=_is_h5mu, open=_open)


def _modality(names: list[str], *, asked: str | None, path: Path) -> str:
    """The data to read.

    Raises:
        ValueError: There is no such modality, or several and none is asked for.
    """
    if asked is not None:
        if asked not in names:
            raise ValueError(
                f"expected a modality {asked!r}{aside(asked, names)} in {path}, got "
                f"{listed(names)}; choose one with --modality"
            )
        return asked
    usual = [name for name in _USUAL if name in names]
    if len(names) != 1 and len(usual) != 1:
        raise ValueError(
            f"expected one modality or one called rna in {path}, found {listed(names)}; choose one "
            "with --modality"
        )
    chosen = usual[0] if usual else names[0]
    others = [name for name in names if name != chosen]
    note(f"{path.name}: modality {chosen!r}" + (f", not {listed(others)}" if others else ""))
    return chosen


def _with_common(source: Source, root: Any, *, modality: str) -> Source:
    """The source with those columns of the whole file's obs that it does not have itself."""
    if "obs" not in root:
        return source
    table = cols.read_table(root["obs"])
    # Columns of a modality come there as "rna:column".
    table = table.loc[:, [name for name in table if ":" not in str(name)]]
    table = table.drop(columns=[name for name in table if name in source.columns])
    if not table.shape[1]:
        return source
    names = pd.Index(cols.texts(source.cell_names(0, source.cells)))
    places = _places(root, table.index.astype(str), names=names, modality=modality)
    home, columns = frame_columns(taken(table, places))
    return replace(
        source,
        columns={**source.columns, **columns},
        homes={**source.homes, **dict.fromkeys(columns, home)},
    )


def _places(root: Any, every: pd.Index, *, names: pd.Index, modality: str) -> NDArray[np.int64]:
    """The row of the common table for each cell of a modality; -1 where there is none."""
    maps = root.get("obsmap", {})
    if modality in maps and len(maps[modality]) == len(every):
        there = np.asarray(maps[modality][:]).ravel().astype(np.int64)  # from 1 on; 0: not in it
        places = np.full(len(names), -1, dtype=np.int64)
        places[there[there > 0] - 1] = np.flatnonzero(there > 0)
        return places
    if not every.is_unique:
        raise DamagedError(
            f"its obs names {every[every.duplicated()][0]!r} twice, and no obsmap says which row "
            f"is of the cell in {modality!r}"
        )
    found: NDArray[np.int64] = every.get_indexer(names).astype(np.int64)
    return found
