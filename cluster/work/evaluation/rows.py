"""Rows of the tables: a model's cells, a baseline's means, the noise ceiling, others' predictions.

Every row is judged on the same units, genes, real cells and controls. A row is its values by
metric and unit; what was generated is dropped as soon as it is counted.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cluster.work.controls import StoreControls
from cluster.work.evaluation.part import HELD_BYTES, Array, Expression, TestPart
from cluster.work.evaluation.record import RowFacts
from cluster.work.means import PredictedMean, predicted_mean
from cluster.work.sampler import Generated, Sampler, starting_cells
from data_store.store.units import Unit
from scdfm.metrics import METRICS, Evidence, Training, UnitCells
from scdfm.metrics.gather import gather
from scdfm.metrics.noise import half_means
from scdfm.metrics.profiles import known_of
from scdfm.metrics.shrunken import moved
from scdfm.metrics.table import unit_values
from scdfm.screen.progress import OnProgress, Progress
from scdfm.screen.randomness import numpy_generator

Values = dict[str, Array]  # by metric, (units,)

MOST = 2_000  # cells of a baseline or a model for a unit, if nobody asks for more
HALVINGS = 20  # for metrics of means
CELL_HALVINGS = 4  # for metrics of cells, which cost more


def usual_cells(
    units: Sequence[Unit],
    *,
    controls: Mapping[str, int],
    one_end: bool,
    wanted: int | None = None,
) -> list[int]:
    """Cells to generate for each unit: as many as are measured or its controls, at most `MOST`.

    Args:
        units: To be predicted.
        controls: How many there are, by context.
        one_end: A second cell from a control would be a copy of the first.
        wanted: For every unit; none: as above.
    """
    usual = [wanted or min(MOST, max(controls[unit.context], len(unit))) for unit in units]
    if not one_end:
        return usual
    return [min(count, controls[unit.context]) for count, unit in zip(usual, units, strict=True)]


@dataclass(frozen=True)
class Row:
    """What was found of a prediction.

    Attributes:
        facts: What it is.
        values: By metric, (units,); the mean over seeds where there are several.
        evidence: Means, of the first seed; those of cells of the ceiling are of a halving.
        seeds: The same values for each seed, if there are several.
    """

    facts: RowFacts
    values: Values
    evidence: Evidence
    seeds: tuple[Values, ...] = ()


class Predicted(NamedTuple):
    """What is predicted of a unit: cells, their mean, or both."""

    cells: Expression | None = None
    mean: Array | None = None  # where it is known better than by the cells, (genes,)
    noise: Array | None = None  # its sampling variance, (genes,)


@dataclass(frozen=True)
class Judge:
    """What all rows are judged by.

    Attributes:
        part: The test units.
        metrics: Names of the metrics.
        training: Of the training conditions, where a metric needs it.
        threads: Units worked on at a time.
    """

    part: TestPart
    metrics: Sequence[str]
    training: Training | None
    threads: int | None = None

    def evidence(
        self,
        predicted: Callable[[int], Predicted],
        *,
        like: Evidence | None = None,
    ) -> Evidence:
        """Reduce what is predicted of each unit, by its number."""

        def units() -> Iterator[UnitCells]:
            for number, unit in enumerate(self.part.units):
                one = predicted(number)
                yield UnitCells(
                    context=unit.context,
                    condition=unit.condition,
                    real=self.part.real(number),
                    control=self.part.control(unit.context),
                    predicted=one.cells,
                    predicted_mean=one.mean,
                    predicted_noise=one.noise,
                )

        found = gather(
            units(),
            genes=self.part.genes,
            tokens_are_genes=self.part.tokens_are_genes,
            metrics=self.metrics,
            training=self.training,
            like=like,
            threads=self.threads,
        )
        # Means of whole units come from the store's sums for every row, so that equal
        # predictions have equal scores.
        control = self.part.control_mean[:, self.part.evaluation]
        return replace(found, control=control)

    def values(self, evidence: Evidence) -> Values:
        """Values of the metrics that this prediction has what it takes for."""
        return unit_values(evidence, metrics=known_of(evidence, self.metrics))

    @property
    def of_cells(self) -> bool:
        """Whether a metric reads predicted cells."""
        asked = [METRICS[name] for name in self.metrics]
        return any(one.of_cells is not None or "predicted_cells" in one.needs for one in asked)


class Held(dict[tuple[int, int], list[Generated]]):
    """The flow's own cells by seed and unit, held until they are judged, too, while they fit."""

    def hold(self, key: tuple[int, int], batches: list[Generated]) -> None:
        """Hold a unit's cells, unless they are too many; then they are generated again."""
        held = sum(one.cells.nbytes for some in (*self.values(), batches) for one in some)
        if held <= HELD_BYTES:
            self[key] = batches


@dataclass(frozen=True)
class ModelRow:
    """A model's prediction: how its cells are generated for each unit."""

    sampler: Sampler
    controls: StoreControls
    cells: Sequence[int]  # to generate for each unit
    held: Held = field(default_factory=Held)

    @property
    def flow(self) -> "ModelRow | None":
        """The flow alone, of a model that combines it with a base."""
        flow = self.sampler.flow
        return None if flow is self.sampler else replace(self, sampler=flow)

    def of(self, field: nn.Module) -> "ModelRow":
        """The same row of another network, of which nothing was generated yet."""
        return replace(self, sampler=self.sampler.of(field), held=Held())

    def generate(
        self,
        judge: Judge,
        *,
        seed: int,
        like: Evidence | None,
        note: str = "",
        progress: OnProgress | None = None,
        keep: Callable[[int, Expression], None] | None = None,
    ) -> tuple[Evidence, list[PredictedMean]]:
        """Generate the cells of all units from a seed and reduce them.

        Args:
            judge: What they are judged by.
            seed: Of the prediction.
            like: Evidence of the same units.
            note: What is being generated.
            progress: Is told of the cells generated.
            keep: Is given each unit's cells, (cells, genes).
        """
        part = judge.part
        sampler = replace(self.sampler, seed=seed)
        kept = np.searchsorted(sampler.genes, part.evaluation)
        means: list[PredictedMean] = []
        clamp = sampler.method.clamps(sampler.settings)

        def predicted(number: int) -> Predicted:
            unit = part.units[number]
            start = starting_cells(
                self.controls.rows(unit.context),
                condition=unit.tokens,
                cells=self.cells[number],
                seed=seed,
                context=unit.context,
            )
            batches = self.held.pop((seed, number), None) or [
                some.on(kept)
                for some in sampler.batches_with_starts(self.controls, start, condition=unit.tokens)
            ]
            flows = [Generated(one.flow, one.start) for one in batches if one.flow is not None]
            if flows:
                self.held.hold((seed, number), flows)
            known = sampler.calibrated(self.controls, context=unit.context, condition=unit.tokens)
            control = part.control_mean[number, part.evaluation]
            means.append(
                predicted_mean(
                    batches,
                    control=control,
                    clamp=clamp,
                    unit=None if known is None else known.on(kept),
                )
            )
            noise = means[-1].noise
            if means[-1].corrected:
                noise = noise + part.control_noise(unit.context)
            cells = np.concatenate([some.cells for some in batches])
            if keep is not None:
                keep(number, cells)
            return Predicted(cells, means[-1].mean, noise)

        done = 0

        def reported(number: int) -> Predicted:
            nonlocal done
            found = predicted(number)
            done += self.cells[number]
            if progress is not None:
                progress(Progress(done, sum(self.cells), "cells", note))
            return found

        evidence = judge.evidence(reported, like=like)
        return evidence, means


def shifted(cells: Expression, mean: Array, *, change: Array, clamp: bool) -> Expression:
    """Control cells moved to a mean, (cells, genes); genes without a change keep theirs."""
    result = cells.copy()
    some = np.flatnonzero(change)
    result[:, some] = moved(cells[:, some], mean[some], clamp=clamp)
    return result


def baseline_row(
    judge: Judge, mean: Array, *, incomplete: int, clamp: bool, like: Evidence | None
) -> Row:
    """A baseline: its means, and control cells moved so that these are their means.

    Args:
        judge: What it is judged by.
        mean: (units, genes).
        incomplete: Units for which it lacked something.
        clamp: Whether expression below 0 becomes 0, as the model's does.
        like: Evidence of the same units.
    """
    part = judge.part
    bounded = np.maximum(mean, 0) if clamp else mean

    def predicted(number: int) -> Predicted:
        context = part.contexts[number]
        if not judge.of_cells:
            return Predicted(None, bounded[number])
        change = mean[number] - part.control_mean[number, part.evaluation]
        controls = part.control(context)[:MOST]
        cells = shifted(controls, bounded[number], change=change, clamp=clamp)
        return Predicted(cells, bounded[number], part.control_noise(context))

    evidence = judge.evidence(predicted, like=like)
    cells = sum(min(MOST, len(part.control(one))) for one in part.contexts)
    facts = RowFacts(kind="baseline", incomplete=incomplete, cells=cells if judge.of_cells else 0)
    return Row(facts, judge.values(evidence), evidence)


def ceiling_row(judge: Judge, *, like: Evidence, seed: int = 0) -> Row:
    """Half of each unit's real cells as a prediction of the other half.

    Metrics of means are averaged over more halvings than those of cells. A unit of one cell is
    undefined.
    """
    part = judge.part
    orders = [numpy_generator(seed, "halves", number) for number in range(len(part.units))]
    halves = [
        half_means(part.real(number), halvings=HALVINGS, generator=orders[number])
        for number in range(len(part.units))
    ]
    of_means = [n for n in judge.metrics if METRICS[n].of_cells is None and not _cells(n)]
    usable = np.array([np.isfinite(first).all() for first, _ in halves])
    found: list[Values] = []
    for halving in range(HALVINGS):
        first, second = (np.stack([half[side][halving] for half in halves]) for side in (0, 1))
        some = replace(
            like.of_means(first),
            real=np.where(usable[:, None], second, like.real),
        )
        found.append(unit_values(some, metrics=known_of(some, of_means)))
    values = _mean_of(found)
    evidence = some
    of_cells = [name for name in judge.metrics if name not in of_means]
    if of_cells:
        again = [_half_cells(judge, of_cells, seed=seed, halving=k) for k in range(CELL_HALVINGS)]
        values |= _mean_of(again)
    values = {
        name: np.where(usable, values[name], np.nan) for name in judge.metrics if name in values
    }
    cells = sum(len(unit) // 2 for unit in part.units)
    return Row(RowFacts(kind="ceiling", cells=cells), values, evidence)


def _cells(name: str) -> bool:
    return bool({"real_cells", "predicted_cells"} & {*METRICS[name].needs})


def _half_cells(judge: Judge, metrics: Sequence[str], *, seed: int, halving: int) -> Values:
    """Metrics of cells for one halving."""
    part = judge.part

    def units() -> Iterator[UnitCells]:
        for number, unit in enumerate(part.units):
            real = part.real(number)
            order = numpy_generator(seed, "half cells", number, halving).permutation(len(real))
            half = max(1, len(real) // 2)
            yield UnitCells(
                context=unit.context,
                condition=unit.condition,
                real=real[order[-half:]],
                control=part.control(unit.context),
                predicted=real[order[:half]],
            )

    found = gather(
        units(),
        genes=part.genes,
        tokens_are_genes=part.tokens_are_genes,
        metrics=metrics,
        training=judge.training,
        threads=judge.threads,
    )
    return unit_values(found, metrics=known_of(found, metrics))


def _mean_of(found: Sequence[Values]) -> Values:
    """Mean over repetitions, without those where a unit is undefined."""
    return {name: mean_defined(np.stack([one[name] for one in found])) for name in found[0]}


def mean_defined(values: NDArray[np.float64]) -> Array:
    """Mean over the first axis of what is defined; NaN where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0)
    mean: Array = np.full(values.shape[1:], np.nan)
    np.divide(total, known.sum(axis=0), out=mean, where=known.any(axis=0))
    return mean
