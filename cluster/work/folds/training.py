"""Train a run that has folds: each fold, as a run of its own, and then the run itself.

A fold that is done is not touched again, and one that was stopped goes on where it was, so a
session may end anywhere.
"""

import logging
from functools import partial
from typing import Protocol

from cluster.runs.begin import OpenRun
from cluster.runs.directory import RunDirectory
from cluster.runs.records import Line
from cluster.settings.config import RunConfig
from cluster.work.folds.facts import folds_of, found
from cluster.work.keeper import Report
from scdfm.screen.progress import phase

log = logging.getLogger(__name__)


class TrainOne(Protocol):
    """Trains a run, or a fold as a run of its own, until it is done or stopped."""

    def __call__(self, run: RunConfig, directory: RunDirectory, /, *, report: Report) -> None:
        """Train it in its directory, which is held."""


def train_with_folds(
    opened: OpenRun, directory: RunDirectory, *, one: TrainOne, report: Report
) -> None:
    """Train what is not yet trained of a run's folds, if it has any, and then the run itself.

    Args:
        opened: The run, prepared.
        directory: The run's, held.
        one: Trains a run.
        report: Receives every line of each journal; those of a fold say which.

    Raises:
        ValueError: A fold's directory holds another run.
    """
    begun = directory.manifest
    assert begun is not None
    folds = folds_of(opened.config)
    if folds and begun.folds is None:
        for fold in folds:
            phase(log, f"training {fold}")
            train_part(fold, fingerprint=begun.fingerprint, one=one, report=report)
        facts = found(directory, validation=opened.config.validation)
        directory.write_manifest(begun.model_copy(update={"folds": facts}))
        directory.publish()
        phase(log, "training on all folds")
    one(opened.config, directory, report=report)


class Part(Protocol):
    """A run in the directory of another, such as a fold."""

    @property
    def run(self) -> RunConfig:
        """The run itself."""
        ...

    def line(self, line: Line, /) -> Line:
        """A line of its journal that says whose it is."""
        ...


def train_part(part: Part, *, fingerprint: str, one: TrainOne, report: Report) -> None:
    """Train a part on the version of the store that its run was begun with."""
    opened = OpenRun(part.run, fingerprint=fingerprint)
    directory = opened.directory
    if directory.finished and directory.states.newest is None:
        return
    if not directory.finished:
        opened.check()
    with directory.held() as held:
        if not held.finished:
            opened.prepare(held)
            one(part.run, held, report=partial(_tell, part=part, report=report))
        held.forget_states()


def _tell(line: Line, *, part: Part, report: Report) -> None:
    report(part.line(line))
