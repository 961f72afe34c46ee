"""Train a run, whatever it consists of: one model, folds and a model, or members of an ensemble.

A member that is done is not touched again, and one that was stopped goes on where it was.
"""

import logging

from cluster.runs.begin import OpenRun
from cluster.runs.directory import RunDirectory
from cluster.runs.records import Line
from cluster.settings.config import RunConfig
from cluster.work.folds.training import TrainOne, train_part, train_with_folds
from cluster.work.keeper import Report
from cluster.work.members.facts import best_of, members_of_run
from scdfm.flow.provenance import Best, Provenance
from scdfm.screen.progress import phase

log = logging.getLogger(__name__)


def train_whole(opened: OpenRun, directory: RunDirectory, *, one: TrainOne, report: Report) -> None:
    """Train what is not yet trained of a run.

    Args:
        opened: The run, prepared.
        directory: The run's, held.
        one: Trains a run that is one model.
        report: Receives every line of each journal; those of a fold or a member say which.

    Raises:
        ValueError: The directory of a part holds another run.
    """
    members = members_of_run(opened.config)
    if not members:
        train_with_folds(opened, directory, one=one, report=report)
        return
    if directory.finished:
        return
    begun = directory.manifest
    assert begun is not None
    for member in members:
        phase(log, f"training {member}")
        train_part(member, fingerprint=begun.fingerprint, one=one, report=report)
    runs = [RunDirectory(member.run.directory) for member in members]
    best = best_of(runs)
    phase(log, f"putting {len(runs)} models together")
    directory.require_held()
    directory.keep_ensemble(
        [run.path for run in runs],
        of="seeds" if opened.config.validation.folds is None else "folds",
        seed=opened.config.seed,
        best=best,
        facts=_facts(opened.config, best=best),
    )
    _note(directory, runs, run=opened.config, report=report)
    directory.finish(steps=opened.config.training.steps)
    directory.publish()


def _facts(run: RunConfig, *, best: Best) -> Provenance:
    """What the provenance of the whole says beside that of its first member."""
    return Provenance(run=run.name, store=run.store, step=best.step, validation=best.metrics)


def _note(
    directory: RunDirectory,
    runs: list[RunDirectory],
    *,
    run: RunConfig,
    report: Report,
) -> None:
    """Say what the members have reached, once."""
    name = run.validation.metric
    each = [one.best for one in runs]
    scores = [None if one is None else one.metrics.get(name) for one in each]
    told = ", ".join("undefined" if score is None else f"{score:.4g}" for score in scores)
    steps = ", ".join(str(one.step) for one in each if one is not None)
    line: Line = {
        "step": run.training.steps,
        "steps": run.training.steps,
        "note": f"{len(runs)} members: {name} {told}; best at steps {steps}",
    }
    directory.journal.rewind(-1)  # a session that was killed here has written it
    directory.journal.write(line)
    report(line)
