"""The table of a prediction: mean and interval of each gene, and each unit's distance.

Means are corrected by the starting cells, as `evaluate` corrects them: for a few cells they are
nearer to the mean of many than the plain average of the cells in the file. What an interval holds
is in `scdfm.flow.certainty.intervals`. An ensemble's cells are its members' in turn, so the mean of
every member is known from the cells.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cluster.predict.request import Unit
from cluster.predict.rows import DISTANCE
from cluster.work.controls import Controls
from cluster.work.errors import control_variances, model_variances
from cluster.work.means import RunningMean
from cluster.work.sampler import Generated
from data_store.store.partner import CONDITION, CONTEXT
from scdfm.flow.certainty.intervals import Unsure, half_width
from scdfm.flow.checkpoint import Model, ModelCard, read_base, read_card
from scdfm.flow.files import members_of
from scdfm.method import METHODS, settings_of
from scdfm.metrics.shrunken import Base

Array = NDArray[np.float64]

CELLS, NEW, NEAREST = "cells", "new", "nearest"  # columns beside those of the unit
INTERVALS = "intervals"  # in uns["scdfm"]
GENES = "genes"  # names of the table's columns, among what is kept
_VALUES = ("mean", "low", "high")
_UNITS_AT_ONCE = 64  # whose variances are held


@dataclass(frozen=True)
class Trust:
    """What a model says of its own errors.

    Attributes:
        card: Of the model.
        base: Of the model, if it has one.
        weights: Of the flow beside the base, of each member; of one model there is one.
    """

    card: ModelCard
    base: Base | None = None
    weights: tuple[float, ...] = (0.0,)

    @property
    def members(self) -> int:
        """Of an ensemble; 1 of one model."""
        return len(self.weights)

    def canonical(self, seed: int) -> int | None:
        """How many first cells of a unit, predicted from a seed, have the mean that was set.

        None: none in particular; the mean of all cells is the best that is known.
        """
        if self.base is None or self.members > 1 or seed != self.card.seed:
            return None
        return self.card.sampling.mean.cells

    @property
    def stretch(self) -> float:
        """By what cells' noise is less than that of the mean that was set on canonical ones."""
        shape = self.card.sampling.shape(self.card.source)
        if self.base is None or shape == 0:
            return 1.0
        return max(1.0, (max(self.weights) / shape) ** 2)

    def variances(self, conditions: Sequence[tuple[str, ...]], *, cells: Array) -> Array | None:
        """Of the model's error before its factor, (units, model genes); None: it is not known."""
        if self.base is None and self.card.interval is None:
            return None
        return model_variances(self.base, conditions, cells=cells)

    def words(self, *, level: float, took: "Took | None" = None) -> str:
        """What the intervals hold, in one line; `took` says which cells they are of."""
        told, found = [f"{100 * level:g} % intervals: noise of the cells"], self.card.interval
        checked = "" if found is None else f", by {found.units} validation units"
        if self.base is not None and found is not None:
            told.append(f"error of the base x {found.factor:.2g}{checked}")
        elif self.base is not None:
            told.append("error of the base, not checked on validation units")
        elif found is not None:
            told.append(f"error of the model{checked}")
        else:
            told.append("not the model's own error, since nothing validated it")
        took = took or Took(members=(self.members,))
        return "; ".join([*told, took.spread(of=self.members), *took.lone_cells])


class Took(NamedTuple):
    """Which cells the intervals of a prediction are of.

    Attributes:
        members: That made cells of a unit, of each unit.
        single: Some interval is of a single cell, which does not tell its noise.
        undefined: Nor do the controls, of which there is one.
    """

    members: tuple[int, ...]
    single: bool = False
    undefined: bool = False

    def spread(self, *, of: int) -> str:
        """Of how many members, where so many could have taken part."""
        if of == 1:
            return "one model, so no spread between members"
        least, most = min(self.members, default=of), max(self.members, default=of)
        if most == 1:
            return f"cells of 1 of {of} members, so no spread between members"
        if least == of:
            return f"spread of {of} members"
        return f"spread of {least if least == most else f'{least} to {most}'} of {of} members"

    @property
    def lone_cells(self) -> list[str]:
        """What becomes of means of single cells."""
        told = ["noise of a single cell taken to be that of a control"] if self.single else []
        return told + ["undefined where a context has one control"] * self.undefined


def trust_in(model: Model) -> Trust:
    """What a model says of its errors."""
    cards = [member.card for member in model.members] or [model.card]
    return Trust(model.card, base=model.base, weights=_weights(cards))


def trust_of(path: Path) -> Trust:
    """The same of a model's directory, without its weights."""
    members = members_of(path)
    cards = [read_card(member) for member in members]
    base = None if cards[0].mean is None else read_base(members[0])
    return Trust(read_card(path), base=base, weights=_weights(cards))


def _weights(cards: Sequence[ModelCard]) -> tuple[float, ...]:
    return tuple(0.0 if card.mean is None else card.mean.flow for card in cards)


class Intervals(NamedTuple):
    """The table of a prediction.

    Attributes:
        units: Condition, context, cells, distance, what is new, nearest training condition.
        genes: Of the columns.
        mean: log1p per 10k, (units, genes).
        low: End of the interval, likewise.
        high: Likewise.
        level: Share of cases in which the truth should be inside.
        note: What the intervals hold.
    """

    units: pd.DataFrame
    genes: tuple[str, ...]
    mean: NDArray[np.float32]
    low: NDArray[np.float32]
    high: NDArray[np.float32]
    level: float
    note: str

    @property
    def far(self) -> str:
        """How many units are at which distance, in one line."""
        counts = Counter(zip(self.units[DISTANCE], self.units[NEW], strict=True))
        told = [f"{counts[one]} at {one[0]} ({one[1]})" for one in sorted(counts)]
        return f"distance from training: {', '.join(told)}"

    def plain(self) -> dict[str, pd.DataFrame | NDArray[Any] | float | str]:
        """As AnnData keeps it in uns."""
        values = {name: getattr(self, name) for name in _VALUES}
        units = self.units.rename(index=str)  # AnnData keeps names of rows
        # Cells may lose genes or have them in another order, and uns does not follow.
        genes = np.array(self.genes, dtype=object)
        return {"units": units, GENES: genes, **values, "level": self.level, "note": self.note}

    @classmethod
    def read(cls, kept: Mapping[str, Any], *, genes: Sequence[str]) -> Self:
        """From what `plain` gave, for the genes that the cells have now, in their order.

        Raises:
            ValueError: None of them was predicted; or the table is one of before it had names of
                genes, and the cells have lost some.
        """
        names, places = _places(kept, genes)
        mean, low, high = (np.asarray(kept[name])[:, places] for name in _VALUES)
        units, level = kept["units"].reset_index(drop=True), float(kept["level"])
        return cls(units, names, mean, low, high, level, str(kept["note"]))

    @property
    def wide(self) -> pd.DataFrame:
        """A row for each unit: a column for the mean of each gene, then GENE:low and GENE:high."""
        endings = {"mean": "", "low": ":low", "high": ":high"}
        values = [
            pd.DataFrame(getattr(self, name), columns=[f"{gene}{ending}" for gene in self.genes])
            for name, ending in endings.items()
        ]
        return pd.concat([self.units, *values], axis=1)

    @property
    def long(self) -> pd.DataFrame:
        """A row for each gene of each unit: mean, low, high beside what is known of the unit."""
        count, genes = self.mean.shape
        table = self.units.loc[np.repeat(np.arange(count), genes)].reset_index(drop=True)
        table.insert(2, "gene", np.tile(np.array(self.genes, dtype=object), count))
        for place, name in enumerate(_VALUES, start=3):
            table.insert(place, name, getattr(self, name).ravel())
        return table


def _places(kept: Mapping[str, Any], genes: Sequence[str]) -> tuple[tuple[str, ...], list[int]]:
    """Those of the genes that a kept table has, and the columns where."""
    count = np.shape(kept["mean"])[1]
    if GENES not in kept:
        if len(genes) != count:
            raise ValueError(
                f"expected the {count} genes that were predicted, got {len(genes)}; take the "
                "table before leaving genes out"
            )
        return tuple(genes), [*range(count)]
    column = {str(gene): place for place, gene in enumerate(kept[GENES])}
    known = tuple(gene for gene in genes if gene in column)
    if not known:
        raise ValueError(
            f"expected some of the {count} genes that were predicted, got none of them; take the "
            "table before renaming genes"
        )
    return known, [column[gene] for gene in known]


def intervals_of(
    units: Sequence[Unit],
    cells: Callable[[int], Iterable[Generated]],
    *,
    controls: Controls,
    trust: Trust,
    genes: NDArray[np.int64],
    level: float,
) -> Intervals:
    """Means and intervals of units.

    Args:
        units: Predicted ones, no controls.
        cells: The cells of a unit by its number, beside those that they started from, in order.
        controls: That they started from.
        trust: What the model says of its errors.
        genes: Ids of the genes of the cells, (genes,).
        level: Of the intervals.
    """
    clamp = METHODS[trust.card.method].clamps(settings_of(trust.card))
    control: dict[str, Array] = {}
    shape = (len(units), len(genes))
    means, lows, highs = (np.empty(shape, dtype=np.float32) for _ in _VALUES)
    took: list[int] = []
    single = undefined = False
    for number, (unit, variance, of_cells) in enumerate(_with_variances(units, controls, trust)):
        if unit.context not in control:
            control[unit.context] = controls.mean(unit.context)[genes]
        sums = _by_member(cells(number), control[unit.context], members=trust.members, clamp=clamp)
        took.append(sum(one.cells > 0 for one in sums))
        of_one = None
        if sum(one.cells for one in sums) == 1:
            lone = len(controls.rows(unit.context)) < 2
            of_one = np.full(len(genes), np.nan) if lone else of_cells[genes]
            single, undefined = single or not lone, undefined or lone
        mean, half = _interval(
            sums,
            None if variance is None else variance[genes],
            of_one=of_one,
            trust=trust,
            level=level,
        )
        low = mean - half
        means[number], highs[number] = mean, mean + half
        lows[number] = np.maximum(low, 0) if clamp else low
    names = tuple(trust.card.genes[gene] for gene in genes)
    note = trust.words(level=level, took=Took(tuple(took), single=single, undefined=undefined))
    return Intervals(_facts(units), names, means, lows, highs, level=level, note=note)


def _interval(
    sums: Sequence[RunningMean],
    variance: Array | None,
    *,
    of_one: Array | None,
    trust: Trust,
    level: float,
) -> tuple[Array, Array]:
    """Mean and half the width of an interval, (genes,) each.

    Args:
        sums: Of each member.
        variance: Of the model's error, (genes,); None: it is not known.
        of_one: Variance of a cell where the mean is of one cell, (genes,); None: of several.
        trust: What the model says of its errors.
        level: Of the interval.
    """
    each = [one.found() for one in sums if one.cells]
    means, noise = (np.stack([getattr(one, of) for one in each]) for of in ("mean", "noise"))
    noise = (noise if of_one is None else of_one[None]) * trust.stretch
    count = len(each)
    unsure = Unsure(
        cells=noise.sum(axis=0) / count**2,
        model=variance,
        members=means.var(axis=0, ddof=1) if count > 1 else None,
    )
    factor = 1.0 if trust.card.interval is None else trust.card.interval.factor
    half = half_width(unsure, level=level, factor=factor, members=count)
    return means.mean(axis=0), half


def _by_member(
    batches: Iterable[Generated], control: Array, *, members: int, clamp: bool
) -> list[RunningMean]:
    """The mean of each member's cells, which are every N-th one."""
    sums = [RunningMean(control, clamp=clamp) for _ in range(members)]
    done = 0
    for batch in batches:
        of = np.arange(done, done + len(batch.cells)) % members
        for member, one in enumerate(sums):
            one.add(batch.cells[of == member], batch.start[of == member])
        done += len(batch.cells)
    return sums


def _with_variances(
    units: Sequence[Unit], controls: Controls, trust: Trust
) -> Iterator[tuple[Unit, Array | None, Array]]:
    """Units beside the variances of the model's error and of control cells, (model genes,) each."""
    for first in range(0, len(units), _UNITS_AT_ONCE):
        some = units[first : first + _UNITS_AT_ONCE]
        cells = control_variances(controls, [unit.context for unit in some])
        found = trust.variances([unit.condition for unit in some], cells=cells)
        for number, unit in enumerate(some):
            yield unit, None if found is None else found[number], cells[number]


def _facts(units: Sequence[Unit]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            CONDITION: [unit.label for unit in units],
            CONTEXT: [unit.context for unit in units],
            CELLS: [unit.cells for unit in units],
            DISTANCE: [unit.distance.steps for unit in units],
            NEW: [unit.distance.why for unit in units],
            NEAREST: [unit.distance.nearest for unit in units],
        }
    )
