"""Means of units, real and predicted, as metrics compare them.

A mean of generated cells carries the noise of the few control cells that they started from, while
"no change" is the mean of ALL controls. So a predicted mean is

    mean(generated) - mean(starting controls) + mean(all controls of the context),

a control variate: the same expectation with less noise. An untrained model that starts at rest
then equals "no change" exactly. Where changes vary more than cells do, as for a model that does
not build on its control cell, the plain mean is kept.

Where a base is combined with the flow, the mean of a unit is known before its cells are: that of
all controls plus the unit's change.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cluster.work.controls import StoreControls
from cluster.work.sampler import Generated, Sampler, starting_cells
from data_store.store.reader import Store
from data_store.stream import Cells as StoreCells
from scdfm.flow.combined import Calibrated
from scdfm.metrics import Pseudobulks
from scdfm.metrics.baselines import MeasuredUnits
from scdfm.screen.conditions import Condition
from scdfm.screen.progress import OnProgress, counted

Array = NDArray[np.float64]

SOME_CELLS = 256  # of a unit, for its variance: averaged over genes it is known well enough


class PredictedMean(NamedTuple):
    """The mean of a unit's generated cells."""

    mean: Array  # (genes,)
    cells: int
    noise: Array  # variance of the mean by the choice of starting cells, (genes,); 0 of one cell
    error: float  # the same averaged over genes
    plain_error: float  # the same of the plain mean
    corrected: bool  # by the starting cells


def predicted_mean(
    batches: Iterable[Generated], *, control: Array, clamp: bool, unit: Calibrated | None = None
) -> PredictedMean:
    """Average generated cells, corrected by their starting cells where that lowers the variance.

    Args:
        batches: Generated cells of a unit.
        control: Mean of all controls of its context, (genes,).
        clamp: Whether expression below 0 cannot be: then nor can a mean.
        unit: Its mean change, where that is known; then cells only say what they would have told.
    """
    sums = RunningMean(control, clamp=clamp)
    for batch in batches:
        sums.add(batch.cells, batch.start)
    return sums.found(unit)


class RunningMean:
    """The mean of a unit's generated cells, while they come."""

    def __init__(self, control: Array, *, clamp: bool) -> None:
        """Begin; see `predicted_mean`."""
        self.control, self.clamp, self.cells = control, clamp, 0
        self.plain, self.change = _Sums(control), _Sums(control)

    def add(self, cells: NDArray[np.float32], start: NDArray[np.float32]) -> None:
        """Add generated cells beside those that they started from, (cells, genes) each."""
        self.cells += len(cells)
        values = cells.astype(np.float64)
        self.plain.add(values)
        self.change.add(values - start)

    def found(self, unit: Calibrated | None = None) -> PredictedMean:
        """What they say so far, or what is known of the unit without them."""
        cells, plain, change = self.cells, self.plain, self.change
        corrected = unit is not None or change.error(cells) <= plain.error(cells)
        if unit is not None:
            mean, noise = self.control + unit.change, unit.noise
        elif corrected:
            mean, noise = self.control + change.total / cells, change.noise(cells)
        else:
            mean, noise = plain.total / cells, plain.noise(cells)
        return PredictedMean(
            mean=np.maximum(mean, 0) if self.clamp else mean,
            cells=cells,
            noise=noise,
            error=float(noise.mean()),
            plain_error=plain.error(cells),
            corrected=corrected,
        )


class _Sums:
    """Sums over cells."""

    def __init__(self, like: Array) -> None:
        self.total, self.squares = np.zeros_like(like), np.zeros_like(like)

    def add(self, values: Array) -> None:
        self.total += values.sum(axis=0)
        self.squares += np.square(values).sum(axis=0)

    def noise(self, cells: int) -> Array:
        """Variance of the mean, (genes,); unknown for a single cell, and taken as 0."""
        if cells < 2:
            return np.zeros_like(self.total)
        spread = self.squares - np.square(self.total) / cells
        noise: Array = np.maximum(spread, 0) / (cells - 1) / cells
        return noise

    def error(self, cells: int) -> float:
        """The same, averaged over genes."""
        return float(self.noise(cells).mean())


def unit_means(store: Store, cells: Sequence[StoreCells], *, columns: NDArray[np.int64]) -> Array:
    """Mean expression of some units' cells, (units, genes)."""
    return np.stack([_mean(store, part, columns=columns) for part in cells])


def control_means(store: Store, contexts: Sequence[str], *, columns: NDArray[np.int64]) -> Array:
    """Mean expression of the controls of each context, (contexts, genes)."""
    place = {unit: position for position, unit in enumerate(store.units)}
    controls = [store.controls[context] for context in contexts]
    return unit_means(
        store, [StoreCells(place[u], u.start, u.stop) for u in controls], columns=columns
    )


def measured_units(
    store: Store, cells: Sequence[StoreCells], *, columns: NDArray[np.int64]
) -> MeasuredUnits:
    """Means of some units' cells and of their controls, for baselines to learn from."""
    known = [store.units[part.unit] for part in cells]
    contexts = tuple(unit.context for unit in known)
    spread = _Spread(store, columns=columns)
    of_controls = np.array([spread.noise_of_controls(part) for part in cells])
    noise = np.array([spread.noise(part) for part in cells])
    return MeasuredUnits(
        contexts=contexts,
        conditions=tuple(unit.tokens for unit in known),
        control=control_means(store, contexts, columns=columns),
        mean=unit_means(store, cells, columns=columns),
        # A drug that is spelt like a gene is none.
        genes=tuple(store.genes[column] for column in columns)
        if store.perturbation == "gene"
        else (),
        noise=noise + of_controls,
        control_noise=of_controls,
        noise_by_gene=spread.by_gene(),
    )


class _Spread:
    """Variance of cells averaged over genes, from some cells: rows of a unit are shuffled."""

    def __init__(self, store: Store, *, columns: NDArray[np.int64]) -> None:
        self.store, self.columns = store, columns
        self.of_controls: dict[str, float] = {}  # by context
        self.shares, self.units = np.zeros(len(columns)), 0  # of genes, over what was read

    def by_gene(self) -> Array | None:
        """How the variance of what was read is spread over genes, with a mean of 1, (genes,).

        None where nothing varied.
        """
        return self.shares / self.units if self.units else None

    def noise(self, cells: StoreCells) -> float:
        """Variance of the mean of a unit's cells; a single cell varies as its controls do."""
        count = cells.stop - cells.start
        if count > 1:
            return self._variance(cells.start, cells.stop) / count
        return self._control(self.store.units[cells.unit].context)

    def noise_of_controls(self, cells: StoreCells) -> float:
        """Variance of the mean of all controls of a unit's context."""
        context = self.store.units[cells.unit].context
        return self._control(context) / len(self.store.controls[context])

    def _control(self, context: str) -> float:
        if context not in self.of_controls:
            controls = self.store.controls[context]
            self.of_controls[context] = self._variance(controls.start, controls.stop)
        return self.of_controls[context]

    def _variance(self, start: int, stop: int) -> float:
        some = self.store.expression(start, min(stop, start + SOME_CELLS), genes=self.columns)
        # Of one control nothing is known; of its changes then neither.
        variance = some.var(axis=0, ddof=min(1, len(some) - 1), dtype=np.float64)
        mean = float(variance.mean())
        if mean > 0:
            self.shares += variance / mean
            self.units += 1
        return mean


def _mean(store: Store, cells: StoreCells, *, columns: NDArray[np.int64]) -> Array:
    unit = store.units[cells.unit]
    if (cells.start, cells.stop) == (unit.start, unit.stop):
        whole: Array = store.moments.row("total", cells.unit)[columns] / len(unit)
        return whole
    part = store.expression(cells.start, cells.stop, genes=columns)
    mean: Array = part.mean(axis=0, dtype=np.float64)
    return mean


def pseudobulks(
    sampler: Sampler,
    controls: StoreControls,
    cells: Sequence[StoreCells],
    *,
    generated: Sequence[int],
    progress: OnProgress | None = None,
    keep: Callable[[Generated], None] = lambda unit: None,
) -> Pseudobulks:
    """Predict units, and collect them with the real ones and their controls.

    Args:
        sampler: What predicts.
        controls: Of the store where the real cells are, too.
        cells: The real cells of each unit.
        generated: Cells to generate for each unit.
        progress: Is told of the cells generated.
        keep: Is given the cells of each unit, in order.
    """
    store = controls.store
    units = [store.units[part.unit] for part in cells]
    columns = controls.columns[sampler.genes]
    contexts = tuple(unit.context for unit in units)
    control = control_means(store, contexts, columns=columns)
    each = counted(
        zip(units, generated, control, strict=True),
        total=sum(generated),
        unit="cells",
        size=lambda part: part[1],
        progress=progress,
    )
    predicted = [
        unit_mean(
            sampler,
            controls,
            context=unit.context,
            condition=unit.tokens,
            cells=count,
            control=mean,
            keep=keep,
        ).mean
        for unit, count, mean in each
    ]
    return Pseudobulks(
        contexts=contexts,
        conditions=tuple(unit.condition for unit in units),
        genes=tuple(store.genes[column] for column in columns),
        predicted=np.stack(predicted),
        real=unit_means(store, cells, columns=columns),
        control=control,
        tokens_are_genes=store.perturbation == "gene",
    )


def unit_mean(
    sampler: Sampler,
    controls: StoreControls,
    *,
    context: str,
    condition: Condition,
    cells: int,
    control: Array,
    keep: Callable[[Generated], None] = lambda unit: None,
) -> PredictedMean:
    """Predict the mean of a unit.

    Args:
        sampler: What predicts.
        controls: Of the store.
        context: Of the unit.
        condition: Of the unit.
        cells: To generate.
        control: Mean of all controls of the context, (genes,).
        keep: Is given the cells.
    """
    start = starting_cells(
        controls.rows(context),
        condition=condition,
        cells=cells,
        seed=sampler.seed,
        context=context,
    )
    batches = list(sampler.batches_with_starts(controls, start, condition=condition))
    keep(
        Generated(
            cells=np.concatenate([batch.cells for batch in batches]),
            start=np.concatenate([batch.start for batch in batches]),
        )
    )
    return predicted_mean(
        batches,
        control=control,
        clamp=sampler.method.clamps(sampler.settings),
        unit=sampler.calibrated(controls, context=context, condition=condition),
    )
