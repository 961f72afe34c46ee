"""Batches for training: cells of K units, as many controls of the same contexts, some genes.

Batch i is a pure function of (seed, i): it does not depend on other batches, a cache or the number
of workers. Worker `rank` of `world` takes every world-th batch, so resuming needs only the index
of the next one.
"""

import itertools
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from data_store.batch_config import BatchConfig
from data_store.store.reader import Store

_BATCH = 2  # purpose of the draw
_NEAR = 64  # cells: so few more are read sooner than they are stepped over
_THREADS = 2  # draw ahead, each a batch: decoding lets go of the interpreter's lock,
_THREADS_REMOTE = 8  # and a network is waited for


class Cells(NamedTuple):
    """The cells of a unit that a run may use."""

    unit: int  # position in store.units
    start: int  # row of the store
    stop: int


@dataclass(frozen=True, slots=True)
class Batch:
    """One training step."""

    index: int
    units: tuple[int, ...]  # (K,), positions in store.units
    offsets: NDArray[np.int64]  # (K + 1,): rows offsets[j]:offsets[j + 1] are unit j
    target: NDArray[np.float32]  # (cells, genes), perturbed
    control: NDArray[np.float32]  # (cells, genes), row by row of the same context as target
    genes: NDArray[np.int64]  # (genes,), positions in the run's gene list, rising
    reference: NDArray[np.float32]  # (references, genes), more perturbed cells, unit by unit
    reference_sizes: tuple[int, ...]  # (K,), of each unit; 0 where none are asked for


class Stream:
    """Draws batches from a store."""

    def __init__(
        self,
        store: Store,
        *,
        targets: Sequence[Cells],
        genes: NDArray[np.int64],
        config: BatchConfig,
        seed: int,
        controls: Sequence[Cells] | None = None,
        references: int = 0,
    ) -> None:
        """Prepare to draw.

        Args:
            store: Where the cells are.
            targets: The cells to train on, one entry per unit.
            genes: Columns of the store that the run uses.
            config: Sizes of a batch.
            seed: Of all draws.
            controls: Control cells per context; None for all of the store's.
            references: Perturbed cells of each unit to draw once more, apart from its targets.

        Raises:
            ValueError: No targets or genes, rows outside their unit, or a context without controls.
        """
        if not targets or not len(genes):
            raise ValueError(
                f"expected units and genes to train on, got {len(targets)} units and "
                f"{len(genes)} genes; choose another split or more genes"
            )
        if controls is None:
            places = {unit: k for k, unit in enumerate(store.units)}
            controls = [Cells(places[u], u.start, u.stop) for u in store.controls.values()]
        for cells in (*targets, *controls):
            _check(store, cells)
        self._store = store
        self._targets = tuple(targets)
        self._genes = np.asarray(genes, dtype=np.int64)
        self._config = config
        self._seed = seed
        self._references = references
        self._controls = {store.units[cells.unit].context: cells for cells in controls}
        for cells in targets:
            context = store.units[cells.unit].context
            if context not in self._controls:
                raise ValueError(
                    f"expected control cells in the context {context!r}, got none; "
                    "choose other training units"
                )
        sizes = np.array([cells.stop - cells.start for cells in targets], dtype=np.float64)
        self._shares = sizes / sizes.sum() if config.sampling == "size" else None

    def batch(self, index: int) -> Batch:
        """Batch `index`, always the same."""
        draw = np.random.default_rng((self._seed, _BATCH, index))
        count = min(self._config.conditions, len(self._targets))
        chosen = draw.choice(len(self._targets), size=count, replace=False, p=self._shares)
        width = min(self._config.genes, len(self._genes))
        genes = np.sort(draw.choice(len(self._genes), size=width, replace=False))
        cells = [self._targets[place] for place in chosen.tolist()]
        sizes = [min(self._config.cells, of.stop - of.start) for of in cells]
        controls = [self._controls[self._store.units[of.unit].context] for of in cells]
        more = [min(self._references, of.stop - of.start) for of in cells]
        offsets = np.cumsum([0, *sizes, *sizes, *more], dtype=np.int64)
        runs: list[tuple[int, int]] = []
        order: list[NDArray[np.int64]] = []
        parts, counts = (*cells, *controls, *cells), (*sizes, *sizes, *more)
        for of, size, begin in zip(parts, counts, offsets, strict=False):
            if not size:
                continue
            read, to = _window(of, size=size, draw=draw)
            runs += read
            order.append(np.where(to >= 0, to + begin, -1))
        every = self._store.expression_of(
            runs, genes=self._genes[genes], order=np.concatenate(order)
        )
        middle, end = offsets[count], offsets[2 * count]
        return Batch(
            index=index,
            units=tuple(of.unit for of in cells),
            offsets=offsets[: count + 1],
            target=every[:middle],
            control=every[middle:end],
            genes=genes,
            reference=every[end:],
            reference_sizes=tuple(more),
        )

    def batches(
        self,
        *,
        start: int = 0,
        stop: int | None = None,
        rank: int = 0,
        world: int = 1,
        together: int | None = None,
    ) -> Generator[Batch, None, None]:
        """Batches start + rank, start + rank + world, ... below stop, drawn ahead in threads.

        Closing the generator ends the threads.

        Args:
            start: First batch of all workers.
            stop: Batch after the last; None: there is no last.
            rank: Of this worker.
            world: Workers.
            together: Batches that all workers take in a step, shared out anew for each step;
                None: they come out even.
        """
        if not 0 <= rank < world:
            raise ValueError(f"expected a rank from 0 below world {world}, got {rank}")
        indices: Iterator[int] = itertools.count(start + rank, world)
        if together is not None and together % world:
            steps = itertools.count(start, together)
            indices = (one for at in steps for one in range(at + rank, at + together, world))
        if stop is not None:
            indices = itertools.takewhile(stop.__gt__, indices)
        threads = _THREADS_REMOTE if self._store.files.remote else _THREADS
        pool = ThreadPoolExecutor(threads, thread_name_prefix="batches")
        ahead = (pool.submit(self.batch, index) for index in indices)
        try:
            waiting = deque(itertools.islice(ahead, 2 * threads))
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(itertools.islice(ahead, 1))
                yield batch
        finally:
            pool.shutdown(cancel_futures=True)


def _window(
    cells: Cells, *, size: int, draw: np.random.Generator
) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """Runs of rows to read, and where each row goes among `size` cells in random order, or -1."""
    available = cells.stop - cells.start
    if size <= available < size + _NEAR:
        to = draw.permutation(available)
        return [(cells.start, cells.stop)], np.where(to < size, to, -1)
    # Cells stand in random order within a unit, so a window is a fair sample. It goes on at the
    # first cell where it passes the last, so every cell is drawn as often. It goes round more than
    # once only where a context has fewer controls than a unit has cells.
    runs, left = [], size
    start = cells.start + int(draw.integers(available))
    while left:
        stop = min(start + left, cells.stop)
        runs.append((start, stop))
        left -= stop - start
        start = cells.start
    return runs, draw.permutation(size)


def _check(store: Store, cells: Cells) -> None:
    unit = store.units[cells.unit]
    if not unit.start <= cells.start < cells.stop <= unit.stop:
        raise ValueError(
            f"expected rows within {unit.start}:{unit.stop} of {unit.condition!r} in "
            f"{unit.context!r}, got {cells.start}:{cells.stop}"
        )
