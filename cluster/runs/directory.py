"""A run's directory: one object owns its files; it is opened once and passed on.

Everything is in files, so that any process can continue what another began:

    run.yaml split.json genes.json graph.npz manifest.json   what the run is
    given.safetensors                                        what options give the network, if any
    metrics.jsonl                                            what happened, a line for each event
    times.jsonl                                              when, and how fast
    log.jsonl                                                what the driver said, and its error
    tensorboard/                                             curves, for TensorBoard
    checkpoints/step-*/                                      the newest training states, the best's
    model/ best.json                                         the best model so far
    folds/0.json folds/0/ ...                                splits and runs of its folds, if any
    members/0/ ...                                           runs of an ensemble's members, if any
    result.json                                              written last: the run is done
    lease refusal.json stop.json                             who writes; why a worker gave up; that
                                                             workers are to stop
"""

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from cluster.runs.find_model import MODEL, RUN
from cluster.runs.history.journal import FILE as JOURNAL
from cluster.runs.history.journal import Journal, with_rate
from cluster.runs.history.said import FILE as LOG
from cluster.runs.history.said import Said
from cluster.runs.history.times import FILE as TIMES
from cluster.runs.history.times import Times
from cluster.runs.parts.place import FOLDS, MEMBERS, Place
from cluster.runs.parts.plan_files import require_plan
from cluster.runs.parts.states import ROOM, States
from cluster.runs.records import Finished, Line, RunManifest, read_record
from cluster.runs.refusal import Refusal
from cluster.runs.stop import Stop
from cluster.settings.config import RunConfig, read_run, write_run
from data_store.disk.room import room_for
from scdfm.flow.certainty.ensemble import Kind, save_ensemble
from scdfm.flow.checkpoint import Model, save_model
from scdfm.flow.files import SPLIT
from scdfm.flow.provenance import Best, Provenance
from scdfm.screen.atomic import discard_drafts, write_json
from scdfm.splits import Split

MANIFEST, RESULT, BEST, CHECKPOINTS = "manifest.json", "result.json", "best.json", "checkpoints"


class TrainResult(NamedTuple):
    """What training left behind."""

    directory: Path
    model: Path  # the best model
    best_step: int
    metrics: dict[str, float]  # of the validation round that chose the model
    finished: bool


@dataclass(frozen=True)
class RunDirectory(Place):
    """The files of one run."""

    @property
    def settings(self) -> RunConfig:
        """The run as it was begun, or as it was last continued from another place.

        Raises:
            FileNotFoundError, ValueError: No run is here, or its file is damaged.
        """
        return read_run(self.path / RUN)

    @property
    def manifest(self) -> RunManifest | None:
        """What the run was begun with; None before that."""
        return read_record(self.path / MANIFEST, RunManifest)

    @property
    def begun(self) -> bool:
        """Whether something was learnt here.

        Before that a run may still be changed; otherwise it would be stuck with a setting that its
        machine refuses.
        """
        parts = (one.begun for one in (*self.folds, *self.members))
        return self.states.newest is not None or self.finished or any(parts)

    @property
    def folds(self) -> list["RunDirectory"]:
        """The runs of its folds that are there, in their order."""
        return self._inside(FOLDS)

    @property
    def members(self) -> list["RunDirectory"]:
        """The runs of an ensemble's members that are there, in their order; not its folds."""
        return self._inside(MEMBERS)

    def _inside(self, folder: str) -> list["RunDirectory"]:
        found = [path for path in (self.path / folder).glob("*/") if path.name.isdigit()]
        return [RunDirectory(path) for path in sorted(found, key=lambda path: int(path.name))]

    @property
    def finished(self) -> bool:
        """Whether the run is done."""
        return (self.path / RESULT).is_file()

    @property
    def states(self) -> States:
        """Its training states."""
        return States(self.path / CHECKPOINTS)

    @property
    def best(self) -> Best | None:
        """The validation round that chose the model; none before the first."""
        return read_record(self.path / BEST, Best)

    @property
    def model(self) -> Path | None:
        """The best model so far; none before the first validation round."""
        return self.path / MODEL if (self.path / MODEL).is_dir() else None

    @property
    def journal(self) -> Journal:
        """What happened."""
        return Journal(self.path / JOURNAL)

    @property
    def times(self) -> Times:
        """When it happened, and how fast."""
        return Times(self.path / TIMES)

    @property
    def said(self) -> Said:
        """What its driver said, and why it ended."""
        return Said(self.path / LOG, once=self.path / RUN)

    @property
    def stop(self) -> Stop:
        """Whether its workers are to stop."""
        return Stop(self.path)

    @property
    def seconds(self) -> float:
        """Time it was trained in all its sessions, its folds and members included."""
        return self.times.seconds() + sum(one.seconds for one in (*self.folds, *self.members))

    @property
    def sessions(self) -> int:
        """Times that training was begun or went on after a stop, in its folds and members, too."""
        every = [one.times.sessions for one in (self, *self.folds, *self.members)]
        begun = [number for number in every if number]
        return 1 + sum(number - 1 for number in begun) if begun else 0

    def history(self) -> Iterator[Line]:
        """What happened, each logged step with its rate."""
        rates = self.times.rates()
        return (with_rate(line, rates) for line in self.journal.lines())

    @property
    def refusal(self) -> Refusal:
        """Why a worker gave up, if one has."""
        return Refusal(self.path)

    def require_plan(self) -> None:
        """Make sure that the plan is as it was written.

        Raises:
            ValueError: A file of it is missing or damaged; names it.
        """
        require_plan(self.path, self.manifest)

    def write_settings(self, run: RunConfig) -> None:
        """Write the run file, every default spelled out."""
        write_run(run, self.path / RUN)

    def write_folds(self, splits: Sequence[Split]) -> None:
        """Write the split of each fold, in place of what another plan has left."""
        folder = self.path / FOLDS
        shutil.rmtree(folder, ignore_errors=True)
        for number, split in enumerate(splits):
            folder.mkdir(exist_ok=True)
            split.save(folder / f"{number}.json")

    def write_manifest(self, facts: RunManifest) -> None:
        """Write what the run was begun with; a plan counts only once this is there."""
        write_json(self.path / MANIFEST, facts.plain())

    def forget_manifest(self) -> None:
        """Remove the manifest, so that the next plan counts only when it is complete."""
        (self.path / MANIFEST).unlink(missing_ok=True)

    def keep_model(
        self,
        model: Model,
        *,
        step: int,
        metrics: dict[str, float],
        weights: Mapping[str, Tensor] | None = None,
    ) -> None:
        """Replace the best model; `weights` are a copy of its field's, which may go on learning.

        Raises:
            OSError: The disk is full; the older model stays.
        """
        with room_for(self.path / MODEL, remedy=ROOM):
            save_model(model, self.path / MODEL, weights=weights)
            write_json(self.path / BEST, {"step": step, "metrics": metrics})

    def forget_model(self) -> None:
        """Remove the best model of a beginning that no state is left of; `publish` sends that."""
        (self.path / BEST).unlink(missing_ok=True)
        shutil.rmtree(self.path / MODEL, ignore_errors=True)
        mirror = self._mirror
        if mirror is not None and mirror.writes:
            for name in (BEST, f"{MODEL}/"):
                mirror.drop(name)

    def keep_ensemble(
        self,
        members: Sequence[Path],
        *,
        of: Kind,
        seed: int,
        best: Best,
        facts: Provenance,
    ) -> None:
        """Put the models of members, by their runs' directories, together as the run's model.

        Raises:
            OSError: The disk is full.
        """
        with room_for(self.path / MODEL, remedy=ROOM):
            save_ensemble(
                [member / MODEL for member in members],
                self.path / MODEL,
                of=of,
                split=self.path / SPLIT,
                seed=seed,
                facts=facts,
            )
            write_json(self.path / BEST, best.plain())

    def finish(self, *, steps: int) -> None:
        """Record that the run is done."""
        best = self.best
        assert best is not None
        facts = Finished(step=best.step, metrics=best.metrics, steps=steps)
        write_json(self.path / RESULT, facts.plain())

    def result(self) -> TrainResult:
        """What the run has reached so far.

        Raises:
            FileNotFoundError: It has no model yet.
        """
        best = self.best
        if best is None:
            raise FileNotFoundError(f"{self} has no {BEST} yet; train the run first")
        return TrainResult(
            directory=self.path,
            model=self.path / MODEL,
            best_step=best.step,
            metrics={
                name: math.nan if value is None else value for name, value in best.metrics.items()
            },
            finished=self.finished,
        )

    def forget_states(self) -> None:
        """Remove what a finished or abandoned run no longer needs: its training states."""
        shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)
        mirror = self._mirror
        if mirror is not None and mirror.writes:
            mirror.drop(f"{CHECKPOINTS}/")
            mirror.commit()

    def discard_drafts(self) -> None:
        """Remove half-written files of a process that was killed."""
        discard_drafts(self.path)
        discard_drafts(self.path / CHECKPOINTS)

    @contextmanager
    def rays_own_files(self) -> Iterator[Path]:
        """A folder for what Ray Train writes for itself; nobody needs it afterwards."""
        folder = self.path / "ray"
        try:
            yield folder.resolve()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
