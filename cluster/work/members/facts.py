"""Which members a run's ensemble has: other seeds, or the run's folds."""

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from cluster.runs.directory import RunDirectory
from cluster.runs.parts.place import MEMBERS
from cluster.runs.records import Line
from cluster.settings.config import RunConfig
from cluster.work.folds.facts import Fold, folds_of
from scdfm.flow.files import SPLIT
from scdfm.flow.provenance import Best
from scdfm.screen.randomness import derived_seed
from scdfm.splits import SplitConfig


class Member(NamedTuple):
    """One of an ensemble's members."""

    number: int  # from 1
    of: int
    run: RunConfig

    def __str__(self) -> str:
        return f"member {self.number} of {self.of}"

    def line(self, line: Line) -> Line:
        """A line of the member's journal, for whoever follows the whole run."""
        return {**line, "member": self.number, "members": self.of}


def members_of_run(run: RunConfig) -> list[Member] | list[Fold]:
    """The members of a run's ensemble, in order; none of a run of one model."""
    if run.ensemble is None:
        return []
    if run.validation.folds is not None:
        return [
            fold._replace(run=fold.run.model_copy(update={"ensemble": None}))
            for fold in folds_of(run)
        ]
    return [
        Member(
            number=number + 1,
            of=run.ensemble,
            run=run.model_copy(
                update={
                    "name": str(number),
                    "output": run.directory / MEMBERS,
                    "seed": member_seed(run.seed, number),
                    "ensemble": None,
                    # What the run itself has drawn, whatever becomes of the user's file.
                    "split": SplitConfig(kind="file", path=run.directory / SPLIT),
                }
            ),
        )
        for number in range(run.ensemble)
    ]


def member_seed(seed: int, number: int) -> int:
    """The seed of a member: the run's own of the first, and from it one for each other.

    Below 2**31, which every program can read.
    """
    return seed if number == 0 else derived_seed(seed, "member", number) % 2**31


def best_of(runs: Sequence[RunDirectory]) -> Best:
    """What finished members have reached: the mean of their scores, and the median step."""
    each = [best for one in runs if (best := one.best) is not None]
    names = [name for name in each[0].metrics if all(name in one.metrics for one in each)]
    values = {name: [one.metrics[name] for one in each] for name in names}
    return Best(
        step=statistics.median_low(one.step for one in each),
        metrics={
            name: None if None in some else statistics.fmean(v for v in some if v is not None)
            for name, some in values.items()
        },
    )
