"""final.json: how the winner and the base scored on test conditions."""

from collections.abc import Mapping

from pydantic import BaseModel

from cluster.runs.records import read_record
from scdfm.metrics.table import Number
from sweeps.directory import SweepDirectory
from sweeps.proposals.confirm import Verdict


class ConditionScore(BaseModel, frozen=True, extra="forbid"):
    """A score on the test conditions of a split."""

    value: Number
    interval: tuple[Number, Number] | None = None  # 95 %, where the evaluation gives one
    conditions: dict[str, Number] = {}


class FinalSplit(BaseModel, frozen=True, extra="forbid"):
    """A model of one split, and its scores by metric."""

    split: int
    model: str  # below the sweep's directory
    step: int  # that it was trained to; 0: the untrained network
    retrained: bool
    scores: dict[str, ConditionScore]


class FinalTrial(BaseModel, frozen=True, extra="forbid"):
    """A trial, tested."""

    trial: int
    splits: tuple[FinalSplit, ...]

    @property
    def untrained(self) -> bool:
        """Whether every model of it is a network that has learnt nothing."""
        return all(one.step == 0 for one in self.splits)

    def mean(self, metric: str) -> float:
        """A metric's mean over the splits."""
        return sum(one.scores[metric].value for one in self.splits) / len(self.splits)

    def by_condition(self, metric: str) -> dict[tuple[int, int], float]:
        """Scores by split and the condition's place among those of the split."""
        return {
            (one.split, place): value
            for one in self.splits
            for place, value in enumerate(_sorted(one.scores[metric].conditions))
        }


def _sorted(conditions: Mapping[str, float]) -> list[float]:
    return [conditions[name] for name in sorted(conditions)]


class Final(BaseModel, frozen=True, extra="forbid"):
    """final.json."""

    winner: FinalTrial
    base: FinalTrial | None  # none: it is the winner, or did not finish
    retrain: bool
    looks: int = 1  # times that test conditions were scored for a winner of this sweep
    differences: dict[str, Verdict | None] = {}  # winner minus base by metric, over conditions
    said: str


def final(directory: SweepDirectory) -> Final | None:
    """The test scores of a sweep; None before there are any.

    Raises:
        ValueError: The file is damaged.
    """
    return read_record(directory.final, Final)
