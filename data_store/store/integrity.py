"""Check that a store still holds what ingest wrote: every file, the index, the sums."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.disk.files import LocalFiles
from data_store.store.hashes import changed
from data_store.store.moments import PRECISION, SUMS, UnitSums
from data_store.store.reader import Store
from data_store.store.remote import manifest_of, open_files
from data_store.store.schema import (
    LIBRARY_SIZE,
    MANIFEST,
    Manifest,
    context_of,
    fingerprint,
)
from data_store.store.units import Unit
from data_store.store.versions import older_folders
from scdfm.screen.address import url_of
from scdfm.screen.conditions import name
from scdfm.screen.progress import OnProgress, counted
from scdfm.screen.spelling import tidy

log = logging.getLogger(__name__)

_ROWS = 4_096


class Fault(NamedTuple):
    """One thing that is wrong with a store."""

    path: str  # of the file, relative to the store
    problem: str


def verify(path: Path | str, *, progress: OnProgress | None = None) -> list[Fault]:
    """Read a whole store, at a path or URL, and list all faults.

    Behind a URL, older versions and files that ingest did not write go unnoticed: not every server
    can list files.

    Args:
        path: Of the store.
        progress: Receives the number of files hashed, then of cells compared.

    Raises:
        FileNotFoundError, ValueError: There is no store to check.
    """
    faults = _faults(path, name="", progress=progress)
    for folder in older_folders(Path(path)) if url_of(path) is None else []:
        try:
            found = _faults(Path(path) / folder, name=f"{folder}: ", progress=progress)
        except ValueError as error:
            found = [Fault(MANIFEST, str(error))]
        faults += [Fault(f"{folder}/{fault.path}", fault.problem) for fault in found]
    return faults


def _faults(path: Path | str, *, name: str, progress: OnProgress | None) -> list[Fault]:
    """The faults of one version; log lines begin with its name."""
    files = open_files(path)
    manifest = manifest_of(files)
    shards = counted(
        manifest.shards, total=len(manifest.shards), unit="files", note="hashed", progress=progress
    )
    faults = [Fault(one.path, told) for one in shards if (told := changed(files, one))]
    if isinstance(files, LocalFiles):
        faults += _strangers(files.where, manifest)
    if manifest.fingerprint != fingerprint(manifest.shards, perturbation=manifest.perturbation):
        faults.append(Fault(MANIFEST, "the fingerprint does not match the files' hashes"))
    found = f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'}"
    log.info("%s%d files hashed, %s", name, len(manifest.shards), found)
    if faults:
        return faults
    with Store.open(path) as store:
        faults = _index_faults(store)
        units = counted(
            store.units,
            total=store.manifest.cells,
            unit="cells",
            note="compared",
            size=lambda unit: unit.stop - unit.start,
            progress=progress,
        )
        rows = _Rows(store)
        for position, unit in enumerate(units):
            faults += _unit_faults(store, unit, position=position, rows=rows)
    log.info(
        "%s%d units compared with index and moments, %d faults", name, len(store.units), len(faults)
    )
    return faults


def _strangers(path: Path, manifest: Manifest) -> list[Fault]:
    known = {MANIFEST, *(shard.path for shard in manifest.shards)}
    found = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    older = tuple(f"{folder}/" for folder in older_folders(path))
    strange = [name for name in sorted(set(found) - known) if not name.startswith(older)]
    return [Fault(name, "not written by ingest") for name in strange]


def _index_faults(store: Store) -> list[Fault]:
    expected = 0
    for unit in store.units:
        if unit.start != expected or unit.stop <= unit.start:
            return [Fault("conditions.parquet", f"{_name(unit)} does not follow the unit before")]
        expected = unit.stop
    if expected != store.manifest.cells:
        return [
            Fault("conditions.parquet", f"ends at {expected}, not {store.manifest.cells} cells")
        ]
    return []


class _Block(NamedTuple):
    """Some rows of a store; small units share a block."""

    start: int
    counts: sp.csr_matrix
    library: NDArray[np.float64]
    conditions: NDArray[np.object_]  # canonical names, by the labels of obs
    labels: NDArray[np.object_]
    contexts: NDArray[np.object_] | None  # None where all cells share one


class _Rows:
    """The rows of a store, a few thousand at a time."""

    def __init__(self, store: Store) -> None:
        self._store, self._recipe = store, store.manifest.recipe
        self._words = self._recipe.words  # not the store's: the index may be what is wrong
        self._held = self._read(0)

    def of(self, unit: Unit) -> Iterator[_Block]:
        """The rows of a unit."""
        start = unit.start
        while start < unit.stop:
            if not self._held.start <= start < self._held.start + len(self._held.library):
                self._held = self._read(start)
            held = self._held
            part = slice(start - held.start, min(unit.stop - held.start, len(held.library)))
            start = held.start + part.stop
            yield _Block(
                held.start + part.start,
                held.counts[part],
                held.library[part],
                held.conditions[part],
                held.labels[part],
                None if held.contexts is None else held.contexts[part],
            )

    def _read(self, start: int) -> _Block:
        stop = min(start + _ROWS, self._store.manifest.cells)
        obs = self._store.obs(start, stop)
        rows, codes = _combinations(obs, self._recipe.condition_columns)
        names = [tidy(name(self._words.read(row))) for row in rows]
        contexts = None
        if self._recipe.context_columns:
            pairs, places = _combinations(obs, self._recipe.context_columns)
            contexts = _texts(map(context_of, pairs))[places]
        return _Block(
            start,
            self._store.counts(start, stop),
            obs[LIBRARY_SIZE].to_numpy(dtype=np.float64),
            _texts(names)[codes],
            _texts(" and ".join(map(repr, row)) for row in rows)[codes],
            contexts,
        )


def _combinations(
    obs: pd.DataFrame, columns: Sequence[str]
) -> tuple[list[tuple[str, ...]], NDArray[np.int64]]:
    """The combinations of labels in these columns, and that of each row."""
    table = obs[list(columns)].astype(str)
    groups = table.groupby(list(columns), sort=False, observed=True).ngroup()
    codes: NDArray[np.int64] = np.asarray(groups, dtype=np.int64)
    rows = table.iloc[np.unique(codes, return_index=True)[1]]
    return [tuple(row) for row in rows.itertuples(index=False)], codes


def _texts(texts: Iterable[str]) -> NDArray[np.object_]:
    return np.array(list(texts), dtype=object)


def _unit_faults(store: Store, unit: Unit, *, position: int, rows: _Rows) -> list[Fault]:
    """Compare a unit's cells with the index and the moments."""
    sums, nonzero, faults = UnitSums(store.manifest.genes), 0, []
    for block in rows.of(unit):
        if not block.counts.has_canonical_format or not block.counts.data.all():
            faults.append(Fault("cells.zarr/X", f"{_name(unit)}: unsorted genes or stored zeros"))
        sums.add(block.counts, library=block.library, normalised=store.manifest.normalised)
        nonzero += block.counts.nnz
        strange = block.labels[block.conditions != tidy(unit.condition)]
        if len(strange):
            faults.append(Fault("conditions.parquet", f"{_name(unit)} holds cells of {strange[0]}"))
        if block.contexts is not None and (block.contexts != tidy(unit.context)).any():
            faults.append(Fault("conditions.parquet", f"{_name(unit)} holds other contexts"))
    if nonzero != unit.nonzero:
        faults.append(Fault("conditions.parquet", f"{_name(unit)}: {nonzero} values in X"))
    if not _agree(store, sums, position=position):
        faults.append(Fault("moments.zarr", f"{_name(unit)}: sums differ from the cells'"))
    return faults


def _agree(store: Store, sums: UnitSums, *, position: int) -> bool:
    stored = store.moments
    kept = np.stack([stored.row(name, position) for name in SUMS])
    return bool(
        np.allclose(kept, sums.sums, rtol=PRECISION, atol=0)
        and np.array_equal(stored.nonzero(position), sums.nonzero)
        and stored.cells[position] == sums.cells
    )


def _name(unit: Unit) -> str:
    return f"{unit.condition!r} in {unit.context!r}"
