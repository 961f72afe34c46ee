"""Cells of a store as arrays: any runs of rows, decoded on demand.

Rows are sorted by unit, (context, condition), so a unit is one run of rows. Expression is
log1p(counts / library size * 10,000), float32.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self, TypeVar, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from data_store.disk import columns as cols
from data_store.disk.arrays import codec_pipeline
from data_store.disk.chunks import ChunkReader, Sharded, Span
from data_store.disk.files import Files, UnreachableError
from data_store.store.hashes import check_categories, unreadable
from data_store.store.moments import Moments
from data_store.store.opening import opened
from data_store.store.rows import Columns, RowArrays, densify, read_rows
from data_store.store.runs import among, in_parts, near_runs
from data_store.store.schema import CELLS, CONDITIONS, LIBRARY_SIZE, MOMENTS, Manifest, Perturbation
from data_store.store.units import Unit, read_units
from scdfm.screen.conditions import Condition, Words

CACHE_BYTES = 64 * 1024**2
_DERIVED = 16  # things derived from a store that are kept with it, at most
_DERIVED_BYTES = 256 * 1024**2  # and what they take together, but of the newest alone
_OBS_AT_ONCE = 65_536  # rows of obs that are read together, at most

logger = logging.getLogger(__name__)
_Made = TypeVar("_Made")


class _Derived(NamedTuple):
    made: object
    bytes: int


class Store:
    """An open store. Safe to read from several threads."""

    def __init__(self, files: Files, *, manifest: Manifest, cache_bytes: int) -> None:
        self.files, self.path = files, files.where
        self.manifest = manifest
        self._categories_checked = False
        self._derived: OrderedDict[Hashable, _Derived] = OrderedDict()
        self._deriving = Lock()
        sizes = {shard.path: shard.bytes for shard in manifest.shards}
        self._reader = ChunkReader(files, size=sizes.__getitem__, cache_bytes=cache_bytes)
        with self._readable(CELLS):
            self._open_arrays()
        with self._readable(CONDITIONS):
            self.units = read_units(files.read(CONDITIONS))

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        fingerprint: str | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> Self:
        """Open a store; check its small files and, of one on this machine, every file's size.

        Args:
            path: A directory, or the URL of one: s3://, gs://, https://, memory://.
            fingerprint: Of the version to open; None: the newest.
            cache_bytes: Memory for what was read before.

        Raises:
            FileNotFoundError: Nothing is there.
            ValueError: It is not a store, is incomplete, has another schema, or does not hold
                that version; names the file.
        """
        files, manifest = opened(path, fingerprint=fingerprint)
        return cls(files, manifest=manifest, cache_bytes=cache_bytes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close files and forget what was read."""
        self._reader.cache.clear()
        self._derived.clear()
        self.files.close()

    def once(
        self, key: Hashable, make: Callable[[], _Made], *, size: Callable[[_Made], int]
    ) -> _Made:
        """What follows from the store and a key alone; made only once, if it was used lately.

        Args:
            key: All that decides it beside the store, and what it is. Nobody may change it.
            make: Makes it.
            size: Its bytes; what was not used lately goes when all take too many.
        """
        with self._deriving:
            found = self._derived.get(key)
        if found is None:
            made = make()
            found = _Derived(made, size(made))
        with self._deriving:
            self._derived[key] = found
            self._derived.move_to_end(key)
            while self._derives_too_much():
                self._derived.popitem(last=False)
        return cast(_Made, found.made)

    def _derives_too_much(self) -> bool:
        total = sum(one.bytes for one in self._derived.values())
        return len(self._derived) > 1 and (len(self._derived) > _DERIVED or total > _DERIVED_BYTES)

    def __repr__(self) -> str:
        held = self.manifest
        return (
            f"Store({str(self.path)!r}: {held.cells} cells x {held.genes} genes, "
            f"{len(self.conditions)} conditions and the control in {len(self.contexts)} contexts, "
            f"{self.perturbation} perturbations)"
        )

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @property
    def contexts(self) -> tuple[str, ...]:
        return self.manifest.contexts

    @property
    def perturbation(self) -> Perturbation:
        return self.manifest.perturbation

    @cached_property
    def genes(self) -> tuple[str, ...]:
        """Names of the store's columns."""
        with self._readable(f"{CELLS}/var"):
            return tuple(map(str, self.var.index))

    @cached_property
    def var(self) -> pd.DataFrame:
        """The source's var."""
        with self._readable(f"{CELLS}/var"):
            table: pd.DataFrame = cols.read_table(self._root["var"])
        return table

    @cached_property
    def controls(self) -> dict[str, Unit]:
        """The control of each context."""
        return {unit.context: unit for unit in self.units if unit.is_control}

    @cached_property
    def conditions(self) -> dict[str, Condition]:
        """Tokens of each condition by canonical name, without the control."""
        return {unit.condition: unit.tokens for unit in self.units if not unit.is_control}

    @cached_property
    def labels(self) -> dict[str, str]:
        """How the data write each condition, by canonical name, without the control."""
        return {unit.condition: unit.label for unit in self.units if not unit.is_control}

    @cached_property
    def words(self) -> Words:
        """How the data write conditions: the way to read a condition that a user names."""
        return self.manifest.recipe.words.knowing({unit.label: unit.tokens for unit in self.units})

    @cached_property
    def moments(self) -> Moments:
        """Sums per unit and gene."""
        readable = partial(self._readable, MOMENTS)
        with readable():
            return Moments(self.files.group(MOMENTS), readable=readable)

    def expression(
        self, start: int, stop: int, *, genes: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """log1p per 10k of rows start to stop, (cells, genes), dense.

        Args:
            start: First row.
            stop: Row after the last.
            genes: Columns of the store, in the wanted order; None for all.

        Raises:
            ValueError: Rows or columns outside the store; a damaged shard, which it names.
        """
        return self.expression_of([(start, stop)], genes=genes)

    def expression_of(
        self,
        runs: Sequence[tuple[int, int]],
        *,
        genes: NDArray[np.int64] | None = None,
        order: NDArray[np.int64] | None = None,
    ) -> NDArray[np.float32]:
        """log1p per 10k of runs of rows (start, stop), (cells, genes), dense.

        Runs are read together, so a remote store is asked only once.

        Args:
            runs: First row and row after the last of each.
            genes: Columns of the store, in the wanted order; None for all.
            order: Where each row goes, run after run, -1 for nowhere; None for one below the other.

        Raises:
            ValueError: Rows or columns outside the store; a damaged shard, which it names.
        """
        columns = self._columns(genes)
        cells = sum(stop - start for start, stop in (self._range(*run) for run in runs))
        order = np.arange(cells) if order is None else order
        # One more row, the last and so the one that -1 means, for what goes nowhere.
        result = np.zeros((np.count_nonzero(order >= 0) + 1, columns.width), dtype=np.float32)
        done = 0
        for part in in_parts(runs):
            for rows in read_rows(self._reader, self._arrays, part):
                to = order[done : done + len(rows.scale)]
                densify(rows, columns, normalised=self.manifest.normalised, out=result, to=to)
                done += len(to)
        return result[:-1]

    def expression_at(
        self, rows: NDArray[np.int64], *, genes: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """log1p per 10k of these rows, in rising order, (cells, genes), dense."""
        runs, wanted = near_runs(rows)
        order = np.full(sum(stop - start for start, stop in runs), -1)
        order[wanted] = np.arange(len(rows))
        return self.expression_of(runs, genes=genes, order=order)

    def counts(self, start: int, stop: int) -> sp.csr_matrix:
        """Stored values of rows start to stop, CSR (cells, genes): counts, unless normalised."""
        start, stop = self._range(start, stop)
        (rows,) = read_rows(self._reader, self._arrays, [(start, stop)])
        indptr = rows.indptr.astype(np.int32) if len(rows.data) < 2**31 else rows.indptr
        return sp.csr_matrix(
            (rows.data, rows.indices.astype(indptr.dtype, copy=False), indptr),
            shape=(stop - start, self.manifest.genes),
            copy=False,
        )

    def counts_at(self, rows: NDArray[np.int64]) -> sp.csr_matrix:
        """Stored values of these rows, in rising order."""
        runs, wanted = near_runs(rows)
        if len(runs) == 1 and len(wanted) == runs[0][1] - runs[0][0]:
            return self.counts(*runs[0])
        # A copy, for the few values of a run are a view of whole chunks.
        found = sp.vstack([self.counts(*run).copy() for run in runs], format="csr")
        return sp.csr_matrix(found[wanted])

    def obs(self, start: int, stop: int) -> pd.DataFrame:
        """The source's obs of rows start to stop, and their library sizes."""
        start, stop = self._range(start, stop)
        return self.obs_at(np.arange(start, stop))

    def obs_at(self, rows: NDArray[np.int64]) -> pd.DataFrame:
        """The source's obs of these rows, in rising order, and their library sizes."""
        self._check_categories()
        # Rows between them are read, too: every call decodes whole chunks of every column.
        parts = np.split(rows, np.flatnonzero(np.diff(rows // _OBS_AT_ONCE)) + 1)
        with self._readable(f"{CELLS}/obs"):
            group = self._root["obs"]
            names = [str(name) for name in group.attrs["column-order"]]
            columns = [column for name in names if (column := cols.describe(group, name))]
            index = cols.describe(group, cols.INDEX)
            assert index is not None
            read = partial(cols.read_block, group, [*columns, index])
            blocks = [
                among(read(start=start, stop=stop), part - start)
                for part in parts
                for start, stop in [(int(part[0]), int(part[-1]) + 1) if len(part) else (0, 0)]
            ]
        block = {key: np.concatenate([one[key] for one in blocks]) for key in blocks[0]}
        return cols.frame(columns, block, index=block[cols.INDEX])

    def library_sizes(self, start: int, stop: int) -> NDArray[np.float64]:
        """Library sizes of rows start to stop, (cells,)."""
        start, stop = self._range(start, stop)
        (sizes,) = self._reader.read([Span(self._arrays.library, start, stop)])
        return sizes

    def _check_categories(self) -> None:
        if not self._categories_checked:
            check_categories(self.files, self.manifest)
            self._categories_checked = True

    def _open_arrays(self) -> None:
        self._root: Any = self.files.group(CELLS)
        # The page cache holds what a disk gave; of what a network gave we keep the bytes.
        keep: Literal["encoded", "nothing"] = "encoded" if self.files.remote else "nothing"
        self._arrays = RowArrays(
            indptr=self._sharded("X/indptr", keep="decoded"),
            indices=self._sharded("X/indices", keep=keep),
            data=self._sharded("X/data", keep=keep),
            library=self._sharded(f"obs/{LIBRARY_SIZE}", keep="decoded"),
        )
        logger.debug(
            "%s: X by our own decoder, which checks every chunk; metadata by %s",
            self.path,
            codec_pipeline(self._root["X"]["data"]),
        )

    def _sharded(self, part: str, *, keep: Literal["decoded", "encoded", "nothing"]) -> Sharded:
        return Sharded(self._root[part], part=f"{CELLS}/{part}", keep=keep)

    def _range(self, start: int, stop: int) -> tuple[int, int]:
        if not 0 <= start <= stop <= self.manifest.cells:
            raise ValueError(
                f"expected rows within 0:{self.manifest.cells} of {self.path}, got {start}:{stop}"
            )
        return start, stop

    def _columns(self, genes: NDArray[np.int64] | None) -> Columns:
        if genes is None:
            return Columns(None, self.manifest.genes)
        if len(genes) and not (genes.min() >= 0 and genes.max() < self.manifest.genes):
            raise ValueError(
                f"expected gene columns within 0:{self.manifest.genes} of {self.path}, got "
                f"{genes.min()} to {genes.max()}"
            )
        place = np.full(self.manifest.genes, -1, dtype=np.int32)
        place[genes] = np.arange(len(genes), dtype=np.int32)
        if len(genes) != np.count_nonzero(place >= 0):
            raise ValueError("expected distinct gene columns, got one more than once")
        return Columns(place, len(genes))

    @contextmanager
    def _readable(self, part: str) -> Iterator[None]:
        """Turn a library's error about damaged bytes into one that names the store."""
        try:
            yield
        except UnreachableError:
            raise
        except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
            line = unreadable(self.files, self.manifest, part=part, error=error)
            raise ValueError(line) from None
