"""Whether the finished trials of a sweep differ in score at all, and if not, why.

Where the weight of the flow is 0 the base alone makes the means that validation scores. Then no
setting that is tried changes a score, only how cells spread about their mean.
"""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cluster.runs.directory import RunDirectory
from cluster.runs.history.journal import FILE as JOURNAL
from cluster.storage.wanted import these
from scdfm.metrics.registry import METRICS
from scdfm.screen.names import how_many
from sweeps.directory import SweepDirectory

if TYPE_CHECKING:
    from sweeps.results import Row

_ROUNDING = 1e-6  # of a score; means are float32


def alike(directory: SweepDirectory, rows: "Sequence[Row]", *, metric: str) -> str | None:
    """Say that all finished trials score the same; None if they differ, or if fewer than two are.

    Args:
        directory: Of the sweep; journals of its trials are read only if their scores are equal.
        rows: Its leaderboard.
        metric: The first of the objective.
    """
    done = [row for row in rows if row.rank is not None]
    if len(done) < 2 or not all(map(_equal, zip(*map(_scores, done), strict=True))):
        return None
    names = [metric, *done[0].further]
    said = f"{how_many(len(done), 'finished trial')} score the same by {' and '.join(names)}"
    of_means = all(METRICS[name].of_means for name in names)
    if not of_means or any(weight != 0 for row in done for weight in _weights(directory, row)):
        return f"{said}: the settings that were tried do not change it"
    alone = "--set base.sampling.mean=none (the flow alone)"
    one = "" if done[0].further else "--set objective.metric=mmd2 (cells, not means), or "
    return (
        f"{said}: the weight of the flow is 0 in all of them, so the base makes the means that are "
        "scored, and the settings change only how cells spread; to tell them apart tune with --new "
        f"and {one}{alone}"
    )


def _scores(row: "Row") -> tuple[float, ...]:
    known = (row.value, *row.further.values())
    return tuple(math.nan if one is None else one for one in known)


def _equal(scores: Sequence[float]) -> bool:
    return all(math.isclose(one, scores[0], rel_tol=_ROUNDING) for one in scores)


def _weights(directory: SweepDirectory, row: "Row") -> Iterator[float | None]:
    """The weight of the flow in the best round of each split; None of a run without a base."""
    runs = directory.runs(row.directory.name)
    if len(runs) < len(row.splits):
        yield None
    for run in runs:
        yield _weight(run.fetch(these(JOURNAL)))


def _weight(run: RunDirectory) -> float | None:
    best = [line for line in run.journal.complete() if line.get("best")]
    return best[-1]["flow"]["weight"] if best and "flow" in best[-1] else None
