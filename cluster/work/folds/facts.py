"""Folds of a run: runs of their own in its directory, each without a share of what can validate.

Scores of the folds, averaged round by round, say how long to train. Then the run itself trains so
long on everything outside the test part, and has that mean for a score.
"""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cluster.runs.directory import RunDirectory
from cluster.runs.parts.place import FOLDS
from cluster.runs.records import FlowRound, Line
from cluster.settings.config import RunConfig, ValidationConfig
from scdfm.flow.certainty.intervals import IntervalFactor, pooled
from scdfm.flow.combined import Evidence, FlowWeight, weigh
from scdfm.flow.files import SPLIT
from scdfm.flow.provenance import Best, FoldFacts
from scdfm.splits import Split, SplitConfig


class Fold(NamedTuple):
    """One of a run's folds."""

    number: int  # from 1
    of: int
    run: RunConfig

    def __str__(self) -> str:
        return f"fold {self.number} of {self.of}"

    def line(self, line: Line) -> Line:
        """A line of the fold's journal, for whoever follows the whole run."""
        return {**line, "fold": self.number, "folds": self.of}


def folds_of(run: RunConfig) -> list[Fold]:
    """The folds of a run, in order; none without `validation.folds`."""
    count = run.validation.folds or 0
    folder = run.directory / FOLDS
    return [
        Fold(
            number=number + 1,
            of=count,
            run=run.model_copy(
                update={
                    "name": str(number),
                    "output": folder,
                    "split": SplitConfig(kind="file", path=folder / f"{number}.json"),
                    "validation": run.validation.model_copy(update={"folds": None}),
                }
            ),
        )
        for number in range(count)
    ]


def found(directory: RunDirectory, *, validation: ValidationConfig) -> FoldFacts:
    """What the finished folds of a run say together.

    A fold may have stopped early; rounds that not all folds had do not count.

    Raises:
        ValueError: The plan or the journal of a fold is damaged.
    """
    folds = directory.folds
    for fold in folds:
        fold.require_plan()
    journals = [fold.journal.complete() for fold in folds]
    curves = [
        {line["step"]: line["validation"] for line in lines if "validation" in line}
        for lines in journals
    ]
    common = sorted(set.intersection(*(set(curve) for curve in curves)))
    rounds = [Best(step=step, metrics=_mean([curve[step] for curve in curves])) for step in common]
    best = rounds[-1].step
    # As `Trainer.judge` chooses: of equal ones that with the nearest cells, then the later.
    shapes = [
        {line["step"]: line["shape"] for line in lines if "shape" in line} for lines in journals
    ]
    scored = [
        (
            score if validation.mode == "min" else -score,
            sum(curve.get(one.step, math.inf) for curve in shapes),
            -one.step,
        )
        for one in rounds
        if (score := one.metrics.get(validation.metric)) is not None
    ]
    if scored:
        best = -min(scored)[2]
    own = [fold.best for fold in folds]
    splits = [Split.load(fold.path / SPLIT) for fold in folds]
    guess = not all(split.validates_as_tested for split in splits)
    return FoldFacts(
        step=best,
        rounds=tuple(rounds),
        alone=tuple(one.step for one in own if one is not None),
        guess=guess,
        flow=_flow(folds, step=best, guess=guess),
        interval=_interval(folds, step=best),
    )


def found_alone(directory: RunDirectory, *, validation: ValidationConfig) -> FoldFacts:
    """What one finished run says, for a run that trains on its validation part, too.

    Raises:
        ValueError: Its plan or its journal is damaged.
    """
    directory.require_plan()
    best = directory.best
    assert best is not None, "it is finished"
    guess = not Split.load(directory.path / SPLIT).validates_as_tested
    return FoldFacts(
        step=best.step,
        rounds=tuple(
            Best(step=line["step"], metrics=line["validation"])
            for line in directory.journal.complete()
            if "validation" in line
        ),
        alone=(best.step,),
        guess=guess,
        flow=_flow([directory], step=best.step, guess=guess),
        interval=_interval([directory], step=best.step),
    )


def _flow(folds: Sequence[RunDirectory], *, step: int, guess: bool) -> FlowWeight | None:
    """The weight of the flow by the units of all folds together; None without a base."""
    told = [
        FlowRound.model_validate(line["flow"])
        for fold in folds
        for line in fold.journal.complete()
        if line["step"] == step and "flow" in line
    ]
    if not told:
        return None
    both, square = (
        np.array([x for one in told for x in getattr(one, of)]) for of in ("both", "square")
    )
    return weigh(Evidence(both, square), guess=guess)


def _interval(folds: Sequence[RunDirectory], *, step: int) -> IntervalFactor | None:
    """How wide intervals must be by the units of all folds together."""
    told = [
        IntervalFactor.model_validate(line["interval"])
        for fold in folds
        for line in fold.journal.complete()
        if line["step"] == step and "interval" in line
    ]
    return pooled(told, apart=True)


def folds_note(facts: FoldFacts | None, *, metric: str) -> str | None:
    """What the folds say, for the journal of the run; None without folds."""
    if facts is None:
        return None
    score = facts.scores(facts.step)[metric]
    if len(facts.alone) == 1:
        return (
            f"trains on validation conditions, too, to step {facts.step}, which had the best "
            f"{metric} ({score:.4g}) without them; scores are of that training"
        )
    # An older version's folds did not say which steps were best alone.
    alone = f" (of each alone: {', '.join(map(str, facts.alone))})" if facts.alone else ""
    return (
        f"{len(facts.alone) or 'its'} folds: mean {metric} {score:.4g} is best at step "
        f"{facts.step}{alone}; training on all of them now, and each score is the folds' mean"
        + ("; the score may differ from that of test conditions" if facts.guess else "")
    )


def _mean(metrics: Sequence[dict[str, float | None]]) -> dict[str, float | None]:
    """Means by metric; undefined where it is undefined in one fold."""
    columns = {name: [one.get(name) for one in metrics] for name in metrics[0]}
    return {
        name: None if None in values else statistics.fmean(v for v in values if v is not None)
        for name, values in columns.items()
    }
