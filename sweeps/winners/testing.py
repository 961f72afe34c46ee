"""Test scores of models, made by actors side by side, each of which may retrain its model first.

A retrained model has a run of its own, `final/KEY/split-N`, so it goes on after anything. An
evaluation is kept beside its model, so a rerun computes only what is missing.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ray
import torch

from cluster.nodes.stall import Watchdog, stalls, watched
from cluster.nodes.team import Team
from cluster.nodes.waiting import Waiting
from cluster.runs.begin import OpenRun
from cluster.runs.directory import RunDirectory
from cluster.runs.find_model import MODEL
from cluster.runs.stop import StoppedError, stoppable
from cluster.session import fits
from cluster.settings.config import RunConfig
from cluster.train import train_here
from cluster.work.evaluate import evaluate
from cluster.work.folds.facts import found_alone
from cluster.work.group.heard import in_time
from scdfm.flow.files import SPLIT
from scdfm.screen.names import how_many
from scdfm.splits import Split, SplitConfig
from scdfm.splits.folds import whole_split
from sweeps.directory import SweepDirectory, forget_states
from sweeps.objective import wait_for_the_end
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import split_run
from sweeps.trials.one_code import require_same_code
from sweeps.trials.pair import wait_for_lease
from sweeps.trials.stopping import works
from sweeps.winners.records import ConditionScore, FinalSplit

log = logging.getLogger(__name__)


class Job(NamedTuple):
    """A model to test; each process finds out for itself where its run is."""

    trial: int
    split: int
    configuration: Configuration
    key: str  # of the trial

    @property
    def place(self) -> tuple[int, int]:
        """Which one it is."""
        return self.trial, self.split

    @property
    def called(self) -> str:
        """In words."""
        return f"the test of trial {self.trial}, split {self.split},"

    def run(self, sweep: SweepConfig) -> RunConfig:
        """Its run of the search."""
        return split_run(sweep, self.configuration, split=self.split, key=self.key)

    def again(self, sweep: SweepConfig) -> RunDirectory:
        """The run of its retraining, begun or not."""
        return RunDirectory(SweepDirectory(sweep.directory).retrained / self.key / self.name)

    @property
    def name(self) -> str:
        """Of both runs."""
        return f"split-{self.split}"


class Retrained:
    """Models that are retrained now, as a signal to their driver sees them.

    Each keeps its last step when it is asked to; a test that only generates cells is just ended.

    Args:
        directory: Of the sweep.
        runs: Of the retraining, begun or not.
    """

    def __init__(self, directory: SweepDirectory, runs: Sequence[RunDirectory]) -> None:
        self._directory, self._runs = directory, runs

    @property
    def learning(self) -> bool:
        """Whether one is at work."""
        return bool(in_time(lambda: any(works(run.path) for run in self._runs)))

    def ask(self) -> None:
        """Ask them to stop."""
        in_time(self._ask)

    def _ask(self) -> None:
        for run in self._runs:
            run.stop.forget()
        self._directory.stop.ask()

    @property
    def kept(self) -> str | None:
        """How many have kept their last step, once all have."""
        return in_time(self._answered)

    def _answered(self) -> str | None:
        answered = [run for run in self._runs if run.stop.kept is not None]
        if not answered or any(works(run.path) for run in self._runs if run not in answered):
            return None
        return f"last step of {how_many(len(answered), 'retrained model')} kept"

    @property
    def stands(self) -> str | None:
        """What is there if not all have answered."""
        return "earlier ones stay"


def tested(
    jobs: Sequence[Job], *, sweep: SweepConfig, fingerprint: str
) -> dict[tuple[int, int], FinalSplit]:
    """Test models on the cluster, as many at once as it has room for; what was found, by place.

    Args:
        jobs: What to test.
        sweep: The sweep.
        fingerprint: Of the store.

    Raises:
        CodeChangedError: Our code has changed since this process began.
        RuntimeError: There was no room for any of them for too long.
    """
    require_same_code()
    kind: Any = ray.remote(num_cpus=sweep.resources.cpu, num_gpus=sweep.resources.gpu)(_Tester)
    team: Team[int] = Team(
        kind,
        [(sweep, fingerprint, str(Path.cwd()))] * _testers(sweep, jobs=len(jobs)),
        ask=lambda actor, number: actor.test.remote(jobs[number]),
        called=lambda number: jobs[number].called,
    )
    stalled = {stall.file for stall in stalls(sweep.directory, known=set())}
    seconds = sweep.run({}, split=0).failure.placement_timeout
    found: dict[tuple[int, int], FinalSplit] = {}
    directory = SweepDirectory(sweep.directory)
    retrained = Retrained(directory, [job.again(sweep) for job in jobs])

    def waits() -> bool:
        for stall in stalls(sweep.directory, known=stalled):
            log.warning(stall.line)
        return team.waits

    with (
        stoppable(retrained, stop=directory.stop),
        Waiting(
            "test",
            pieces=1,
            cpus=sweep.resources.cpu,
            gpus=sweep.resources.gpu,
            timeout=seconds,
            waits=waits,
        ) as room,
        _of_this_code(),
    ):
        # Not before: an actor would take a request to stop that a killed session left for its own.
        for one in team.work(range(len(jobs))):
            if one is not None:
                require_same_code()
                found[jobs[one.piece].place] = FinalSplit.model_validate_json(one.answer)
            elif room.expired:
                raise RuntimeError(
                    f"gave up {room.line}; base.failure.placement_timeout is {seconds:g} s: raise "
                    "it, add nodes, or lower resources"
                )
    return found


def _testers(sweep: SweepConfig, *, jobs: int) -> int:
    """Processes: one more than there is room for would start anew for what a free one could do."""
    cpu, gpu = sweep.resources.cpu, sweep.resources.gpu
    return min(jobs, max(1, fits(cpus=cpu, gpus=gpu)))


@contextmanager
def _of_this_code() -> Iterator[None]:
    """Tell code that has changed apart from what it then raises."""
    try:
        yield
    except Exception:
        require_same_code()
        raise


class _Tester:
    """An actor that tests one model."""

    def __init__(self, sweep: SweepConfig, fingerprint: str, home: str) -> None:
        if Path(home).is_dir():  # not on a machine that shares no disk with the driver
            os.chdir(home)
        torch.set_num_threads(sweep.resources.cpu)
        self.sweep, self.fingerprint = sweep, fingerprint

    def test(self, job: Job) -> str:
        """JSON of a `FinalSplit`."""
        seconds = job.run(self.sweep).failure.stall_timeout
        with watched(self.sweep.directory, who="a test", seconds=seconds) as watchdog:
            try:
                found = score_split(
                    job, sweep=self.sweep, fingerprint=self.fingerprint, watchdog=watchdog
                )
            except StoppedError:
                wait_for_the_end(watchdog)
        return found.model_dump_json()


def score_split(
    job: Job, *, sweep: SweepConfig, fingerprint: str, watchdog: Watchdog | None = None
) -> FinalSplit:
    """Test the best model of a run, retrained if the sweep asks for it.

    Args:
        job: Names the run, which is finished.
        sweep: The sweep.
        fingerprint: Of the store.
        watchdog: Is told of steps and of cells that are generated; none: nobody watches.

    Raises:
        StoppedError: The sweep was asked to stop while the model was retrained; its step is kept.
    """
    assert sweep.final is not None
    dog = watchdog or Watchdog()
    run = job.run(sweep)
    found = RunDirectory(run.directory).fetch()
    step, gpu = found.result().best_step, sweep.resources.gpu > 0
    retrained = sweep.final.retrain and step > 0
    place = found.path / MODEL
    if retrained:
        place = _retrained(job, found, sweep=sweep, fingerprint=fingerprint, dog=dog)
    dog.step()
    scored = evaluate(place, store=run.store, gpu=gpu, progress=lambda _: dog.step())
    table = scored.tables[next(iter(scored.tables))]
    return FinalSplit(
        split=job.split,
        model=str(place.relative_to(sweep.directory)),
        step=step,
        retrained=retrained,
        scores={
            name: ConditionScore(
                value=score.value,
                interval=score.interval,
                conditions={
                    condition: one[name].value for condition, one in table.conditions.items()
                },
            )
            for name, score in table.overall.items()
        },
    )


def _retrained(
    job: Job, found: RunDirectory, *, sweep: SweepConfig, fingerprint: str, dog: Watchdog
) -> Path:
    """The model of a run that learnt from its validation part, too; trained if it is not there."""
    run, folder = job.run(sweep), job.again(sweep).path.parent
    folder.mkdir(parents=True, exist_ok=True)
    parts = folder / f"{job.name}.json"
    found.require_plan()
    whole_split(Split.load(found.path / SPLIT)).save(parts)
    again = run.model_copy(update={"output": folder, "split": SplitConfig(kind="file", path=parts)})
    wait_for_lease(job.again(sweep))
    opened = OpenRun(again, fingerprint=fingerprint)
    opened.check()
    with opened.directory.held() as directory:
        opened.prepare(directory)
        begun = directory.manifest
        assert begun is not None
        if begun.folds is None:
            facts = found_alone(found, validation=run.validation)
            directory.write_manifest(begun.model_copy(update={"folds": facts}))
            directory.publish()
    device = "cuda" if sweep.resources.gpu else "cpu"
    model = train_here(
        again,
        device=device,
        fingerprint=fingerprint,
        watchdog=dog,
        stop=SweepDirectory(sweep.directory).stop,
    ).model
    forget_states(opened.directory)
    return model
