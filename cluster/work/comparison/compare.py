"""Compare runs by their evaluations: mean and spread over folds and seeds, paired differences.

Runs that differ in nothing but split and seed are one model; its row is the mean over them. On
cells of another store, or of another version of it, every row is another one. Every baseline was
judged in the same evaluation as the model, so differences are paired: by run, and in it by
condition.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, NonNegativeInt, PositiveInt
from scipy.stats import t

from cluster.runs.find_model import (
    BEST_RUN,
    BEST_SPLITS,
    BEST_TRIAL,
    MODEL,
    RUN,
    found_model,
)
from cluster.settings.config import read_run
from cluster.work.evaluation.record import Evaluation, SplitFacts, no_difference
from scdfm.flow.checkpoint import read_card
from scdfm.metrics import METRICS
from scdfm.metrics.table import Number, Score
from scdfm.screen.names import listed
from scdfm.screen.untyped import JsonObject

log = logging.getLogger(__name__)

LEVEL = 0.95
OF_THE_MODEL = ("flow", "untrained")  # kinds of further rows that each run has of its own
OF_A_CARD = {"method", "settings", "model", "source", "sampling", "genes_per_step"}
OF_ONE_RUN = ("name", "output", "seed", "split", "threads", "store", "init_from")


class Average(BaseModel, frozen=True, extra="forbid"):
    """A score over runs."""

    value: Number  # mean over the runs where it is defined; NaN where there is none
    sd: Number  # over runs; NaN for one
    runs: int  # where it is defined
    values: tuple[Number, ...]  # of each run of the row; of a baseline, of each test part
    undefined: NonNegativeInt = 0  # units of all runs that the values leave out


class RunDifference(BaseModel, frozen=True, extra="forbid"):
    """The first row less another, paired by run."""

    value: Number
    sd: Number
    interval: tuple[Number, Number] | None  # 95 %, Student's t over runs; None for one run
    wins: int  # runs in which the first row is better
    runs: int
    within_noise: bool | None

    @property
    def identical(self) -> bool:
        """Whether every run scores the same in both rows."""
        return no_difference(self.value, self.interval, pairs=self.runs)


class Compared(BaseModel, frozen=True, extra="forbid"):
    """One run that was compared."""

    path: str
    row: str
    fingerprint: str  # of its store
    split: SplitFacts
    seeds: tuple[int, ...]  # of the generated cells
    conditions: PositiveInt
    mean: str = ""  # how the model's means are made, in words, where they have a base


class Comparison(BaseModel, frozen=True, extra="forbid"):
    """Scores over runs, by row and metric."""

    runs: tuple[Compared, ...]
    tables: dict[str, dict[str, Average]]
    differences: dict[str, dict[str, RunDifference]]


def compare(targets: Sequence[Path], evaluations: Sequence[Evaluation]) -> Comparison:
    """Average evaluations of runs.

    Args:
        targets: Run or model of each evaluation.
        evaluations: Of models.

    Raises:
        ValueError: They share no metric, or there is none.
    """
    if not evaluations:
        raise ValueError("expected at least one run or model to compare, got none")
    stores = _store_of_each(evaluations)
    rows = _row_of_each(targets, evaluations, stores=stores)
    metrics = _shared(evaluations)
    scores: dict[str, list[dict[str, Score]]] = {}
    for at, (name, one) in enumerate(zip(rows, evaluations, strict=True)):
        ours = next(iter(one.tables))
        # A baseline of two models, or of two seeds, on the same cells is one score.
        known = {
            row for other in evaluations[:at] if _same_part(one, other) for row in other.tables
        }
        for row, table in one.tables.items():
            of_model = row in one.rows and one.rows[row].kind in OF_THE_MODEL
            if row != ours and row in known and not of_model:
                continue
            place = name if row == ours else _on(row, stores[at])
            place = row + name.removeprefix(ours) if of_model else place
            scores.setdefault(place, []).append(table.overall)
    first = rows[0]
    return Comparison(
        runs=tuple(
            Compared(
                path=str(target),
                row=row,
                fingerprint=one.fingerprint,
                split=one.split,
                seeds=one.seeds,
                conditions=one.conditions,
                mean=one.mean,
            )
            for target, row, one in zip(targets, rows, evaluations, strict=True)
        ),
        tables={
            row: {metric: _average([one[metric] for one in some]) for metric in metrics}
            for row, some in scores.items()
        },
        differences={
            _on(row, stores[0]) if row in evaluations[0].tables else row: found
            for row, found in _differences(first, rows, evaluations, metrics=metrics).items()
        },
    )


def _shared(evaluations: Sequence[Evaluation]) -> list[str]:
    every = [
        {name for table in one.tables.values() for name in table.overall} for one in evaluations
    ]
    order = [name for name in METRICS if all(name in some for some in every)]
    known = [
        name
        for name in order
        if all(name in table.overall for one in evaluations for table in one.tables.values())
    ]
    if not known:
        raise ValueError("the evaluations share no metric; evaluate the runs again, alike")
    some = [name for name in METRICS if any(name in one for one in every) and name not in order]
    if some:
        log.info(
            "not in every evaluation, and left out: %s; name them with --metrics", listed(some)
        )
    return known


def _store_of_each(evaluations: Sequence[Evaluation]) -> list[str | None]:
    """The name of each run's store; None where all are on the same cells."""
    different = {one.fingerprint: one.store for one in evaluations}
    if len(different) == 1:
        return [None] * len(evaluations)
    places = [*dict.fromkeys(different.values())]
    called = dict(zip(places, _apart_by_name([*map(Path, places)]), strict=True))
    versions = len(places) < len(different)
    return [
        called[different[one.fingerprint]] + (f" {one.fingerprint[:8]}" if versions else "")
        for one in evaluations
    ]


def _on(row: str, store: str | None) -> str:
    return row if store is None else f"{row} (on {store})"


def _row_of_each(
    targets: Sequence[Path], evaluations: Sequence[Evaluation], *, stores: Sequence[str | None]
) -> list[str]:
    """The name of each run's row: that of its model, of its run and store where these differ."""
    kinds = [_settings(target) for target in targets]
    names = [next(iter(one.tables)) for one in evaluations]
    different = [kind for at, kind in enumerate(kinds) if kind not in kinds[:at]]
    if len(different) == 1:
        return [_on(name, store) for name, store in zip(names, stores, strict=True)]
    called = _apart_by_name([targets[kinds.index(kind)] for kind in different])
    return [
        f"{name} ({called[different.index(kind)]}{'' if store is None else f' on {store}'})"
        for name, kind, store in zip(names, kinds, stores, strict=True)
    ]


def _apart_by_name(paths: Sequence[Path]) -> list[str]:
    """The last parts of paths, as many as tell them apart."""
    for count in range(1, max(len(path.parts) for path in paths)):
        names = ["/".join(path.parts[-count:]) for path in paths]
        if len({*names}) == len(names):
            return names
    return [str(path) for path in paths]


def _settings(target: Path) -> JsonObject | None:
    """What makes a run another model than a run on another fold or seed; None: it is not known."""
    model = found_model(target)
    files = [target / RUN]
    if model is not None:
        # Of a run's model, of a sweep's best one, of that of another of its splits.
        files += [model.parent / RUN] if model.name == MODEL else []
        files += [model.parent / BEST_RUN] if model.name == BEST_TRIAL else []
        files += [model.parent.parent / BEST_RUN] if model.parent.name == BEST_SPLITS else []
    file = next((one for one in files if one.is_file()), None)
    if file is not None:
        run = read_run(file)
        settings = run.model_dump(mode="json", exclude={*OF_ONE_RUN})
        return {**settings, "kind": run.split.kind, "begins": run.init_from is None}
    return None if model is None else read_card(model).model_dump(mode="json", include=OF_A_CARD)


def _average(scores: Sequence[Score]) -> Average:
    values = [one.value for one in scores]
    known = [value for value in values if np.isfinite(value)]
    return Average(
        value=float(np.mean(known)) if known else float("nan"),
        sd=float(np.std(known, ddof=1)) if len(known) > 1 else float("nan"),
        runs=len(known),
        values=tuple(values),
        undefined=sum(one.undefined for one in scores),
    )


def _differences(
    first: str, rows: Sequence[str], evaluations: Sequence[Evaluation], *, metrics: Sequence[str]
) -> dict[str, dict[str, RunDifference]]:
    ours = [one for row, one in zip(rows, evaluations, strict=True) if row == first]
    pairs: dict[str, list[_Pair]] = {}
    for one in ours:
        for other in [*one.tables][1:]:
            pairs.setdefault(other, []).append(_Pair(one, one, other))
    for row in dict.fromkeys(rows):
        theirs = [one for name, one in zip(rows, evaluations, strict=True) if name == row]
        if row == first:
            continue
        left = list(theirs)
        for one in ours:
            match = next((other for other in left if _same_part(one, other)), None)
            if match is not None:
                left.remove(match)
                pairs.setdefault(row, []).append(_Pair(one, match, next(iter(match.tables))))
    return {
        row: {metric: _difference(metric, some) for metric in metrics}
        for row, some in pairs.items()
    }


def _same_part(one: Evaluation, other: Evaluation) -> bool:
    """Whether two are of the same test units; splits of lists are all called alike."""
    units, others = ({(u.context, u.condition) for u in each.units} for each in (one, other))
    alike = not units or not others or units == others  # an older one did not name them
    return alike and (one.fingerprint, one.split) == (other.fingerprint, other.split)


class _Pair(NamedTuple):
    """The first row of an evaluation and a row of it, or of another one of the same units."""

    one: Evaluation
    other: Evaluation
    row: str


def _apart(metric: str, pair: _Pair) -> float:
    """The first row's score less the other's, over what both are defined in.

    Their means alone are of different conditions where one leaves units out.
    """
    ours, theirs = next(iter(pair.one.tables.values())), pair.other.tables[pair.row]
    mine, its = ours.overall[metric], theirs.overall[metric]
    if not mine.undefined and not its.undefined:
        return mine.value - its.value
    if pair.one is pair.other:
        known = pair.one.differences.get(pair.row, {}).get(metric)
        if known is not None:
            return known.value
    both = [
        (scores[metric], theirs.conditions[name][metric])
        for name, scores in ours.conditions.items()
        if metric in scores and metric in theirs.conditions.get(name, {})
    ]
    # Of a condition that lacks other units here than there, the means are of different units.
    each = [a.value - b.value for a, b in both if a.undefined == b.undefined]
    known_in = [value for value in each if np.isfinite(value)]
    return float(np.mean(known_in)) if known_in else float("nan")


def _difference(metric: str, pairs: Sequence[_Pair]) -> RunDifference:
    apart = np.array([_apart(metric, pair) for pair in pairs])
    apart = apart[np.isfinite(apart)]
    better = apart < 0 if METRICS[metric].mode == "min" else apart > 0
    value = float(apart.mean()) if len(apart) else float("nan")
    interval = None
    if len(apart) > 1:
        wide = t.ppf((1 + LEVEL) / 2, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
        interval = (value - float(wide), value + float(wide))
    return RunDifference(
        value=value,
        sd=float(apart.std(ddof=1)) if len(apart) > 1 else float("nan"),
        interval=interval,
        wins=int(better.sum()),
        runs=len(apart),
        within_noise=None if interval is None else interval[0] <= 0 <= interval[1],
    )
