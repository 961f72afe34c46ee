"""Writes what happens in a run: journal, best model, training state, and the end.

Models and training states are written by another thread, from a copy, while training goes on.
"""

from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self, cast

import torch

from cluster.runs.directory import RunDirectory
from cluster.runs.fine_tune import source_note
from cluster.runs.graph import graph_note
from cluster.runs.history.computed import computed_alike, hands_note
from cluster.runs.parts.states import Checkpoint
from cluster.runs.plan import Plan, contexts_of
from cluster.runs.precision import Arithmetic
from cluster.runs.records import Computed, Line, RunManifest
from cluster.settings.config import RunConfig
from cluster.work.background import Background
from cluster.work.build import make_card
from cluster.work.folds.facts import folds_note
from cluster.work.validation import Validation
from cluster.work.watch.values import memory
from cluster.work.watch.watched import Watched
from scdfm.flow.checkpoint import Model, copied
from scdfm.flow.loop.meter import StepLog
from scdfm.flow.training import Round, Trainer
from scdfm.screen.atomic import jsonable
from scdfm.splits.told import validation_note

Report = Callable[[Line], None]


class Keeper:
    """Saves what a run has learnt; only rank 0 uses one. At the end of its block all is on disk."""

    def __init__(
        self,
        run: RunConfig,
        directory: RunDirectory,
        *,
        facts: RunManifest,
        plan: Plan,
        trainer: Trainer,
        validation: Validation,
        how: Arithmetic,
        report: Report,
        watch: Watched | None = None,
    ) -> None:
        """Keep a run.

        Args:
            run: The run.
            directory: Where; held.
            facts: What this session adds to the models it exports.
            plan: Of the run.
            trainer: What learns.
            validation: What judges it.
            how: How this machine computes.
            report: Receives every line of the journal.
            watch: Shows its curves; none: nobody.
        """
        self.watch = watch or Watched()
        self.run, self.directory, self.plan, self.trainer = run, directory, plan, trainer
        self.facts, self.validation, self.how, self.report = facts, validation, how, report
        self.journal = directory.journal
        self.device = next(trainer.model.parameters()).device
        self.writer = Background("checkpoint")

    def __enter__(self) -> Self:
        self.writer.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.writer.__exit__(kind, error, trace)
        if error is None:
            self.directory.publish()

    def begin(self, checkpoint: Checkpoint | None) -> None:
        """Continue after a checkpoint, or begin with notes about graph and first weights."""
        self.directory.require_held()
        self.directory.discard_drafts()
        if checkpoint is None:  # killed between its first model and its first state
            self.directory.forget_model()
        step = None if checkpoint is None else self.trainer.progress.step
        self.journal.rewind(-1 if step is None else step)
        damaged = None if checkpoint is None else _damage(checkpoint, step=step or 0)
        self.clock = self.directory.times.begin(
            step or 0, lines=sum(1 for _ in self.journal.lines()), note=damaged
        )
        self.watch.begin(self.run, self.directory, step=step, tell=self._tell_fault)
        if step is not None:
            self._tell({"step": step} if damaged is None else {"step": step, "note": damaged})
        self._note_arithmetic(step)
        if step is None:
            begun = self._begun
            self._note(0, graph_note(begun.graph))
            self._note(0, source_note(begun.init_from) if begun.init_from is not None else None)
            self._note(0, validation_note(self.plan.split))
            self._note(0, folds_note(begun.folds, metric=self.run.validation.metric))

    def log(self, line: StepLog) -> None:
        """Record the mean of some steps."""
        self.writer.look()
        facts = {**line.speed._asdict(), **memory(self.device)}
        told = {
            "step": line.step,
            "loss": line.loss,
            **line.parts,
            "gradient_norm": line.gradient_norm,
            "learning_rate": line.learning_rate,
            "steps": self.trainer.last_step,
        }
        # First the rate: who follows the journal finds it there.
        self.clock.tell(line.step, facts=facts)
        self._write(cast(Line, told), facts=facts)

    def keep(self, outcome: Round) -> None:
        """Record a validation round: journal, model if it is the best, then training state.

        The last round's must be on the disk before this one's is begun.
        """
        self.writer.wait()
        self.directory.require_held()
        # A rerun starts from the last state and repeats what came after it, byte for byte: so
        # model and journal may be ahead of the state, never behind.
        line: Line = {
            "step": outcome.step,
            "steps": self.trainer.last_step,
            "validation": dict(outcome.metrics),
            "best": outcome.improved,
        }
        if self.validation.flow is not None:
            line["flow"] = self.validation.flow.line()
        if self.validation.shape is not None:
            line["shape"] = self.validation.shape
        if self.validation.interval is not None:
            found = self.validation.interval
            line["interval"] = {"factor": found.factor, "units": found.units, "guess": found.guess}
        self._write(line)
        self.clock.tell(outcome.step)
        best = outcome.improved or self.directory.best is None
        model = self._model(outcome) if best else None
        self._save(outcome.step, model=model, metrics=outcome.metrics)

    def save(self) -> None:
        """Keep the training state of a step that no round follows, and go on."""
        self.trainer.refuse_infinite_weights()
        self.writer.wait()
        self.directory.require_held()
        self._save(self.trainer.progress.step)

    def pause(self) -> None:
        """Keep the training state of the last step; it is on the disk at the block's end."""
        self.save()
        self.clock.tell(self.trainer.progress.step)

    def finish(self) -> None:
        """Record that the run is done."""
        self.writer.wait()
        self.directory.finish(steps=self.trainer.progress.step)
        self.watch.done = True

    def _save(
        self, step: int, *, model: Model | None = None, metrics: dict[str, float] | None = None
    ) -> None:
        """Have a copy of the state written, after the model if it is the best of all."""
        state = copied(self.trainer.state())
        weights = None if model is None else copied(model.field.state_dict())

        def write() -> None:
            self.directory.require_held()
            if model is not None:
                self.directory.keep_model(model, step=step, metrics=metrics or {}, weights=weights)
            self.journal.force()
            chosen = self.directory.best
            self.directory.states.keep(
                state,
                step=step,
                newest=self.run.training.keep,
                best=None if chosen is None else chosen.step,
            )
            self.directory.publish()

        self.writer.start(write)

    @property
    def _begun(self) -> RunManifest:
        begun = self.directory.manifest
        assert begun is not None
        return begun

    def _note_arithmetic(self, step: int | None) -> None:
        """Record how steps are computed from here on, if that has changed.

        A run may continue on another machine; the manifest lists what computed it, step by step.
        """
        begun = self._begun
        now = Computed(
            step=step or 0,
            **self.how._asdict(),
            workers=self.trainer.world,
            threads=torch.get_num_threads(),
            batches=self.trainer.together,
        )
        known = () if step is None else begun.arithmetic
        before = tuple(one for one in known if one.step < now.step)
        goes_on = bool(before) and computed_alike(before[-1], now)
        after = before if goes_on else (*before, now)
        if after == known:
            return
        self.directory.write_manifest(begun.model_copy(update={"arithmetic": after}))
        if not goes_on:
            self._note(now.step, f"computes in {self.how}; {hands_note(now, before=before)}")

    def _note(self, step: int, note: str | None) -> None:
        if note is not None:
            self._write({"step": step, "steps": self.trainer.last_step, "note": note})

    def _write(self, line: Line, *, facts: Mapping[str, float] | None = None) -> None:
        self.journal.write(line)
        facts = facts or {}
        rate = facts.get("steps_per_second")
        self._tell(line if rate is None else {**line, "steps_per_second": rate})
        self.watch.add(line, facts=facts)

    def _tell(self, line: Line) -> None:
        self.report({**line, "steps": self.trainer.last_step})

    def _tell_fault(self, fault: str) -> None:
        """Say what is wrong with a watcher; not in the journal, which is of what was learnt."""
        step = self.trainer.progress.step
        self.clock.note(step, fault)
        self._tell({"step": step, "note": fault})

    def _model(self, outcome: Round) -> Model:
        begun = self._begun
        folds = begun.folds and begun.folds.model_copy(update={"rounds": ()})  # many, in the run
        kept = {"graph": begun.graph, "init_from": begun.init_from, "folds": folds}
        facts = self.facts.model_copy(update={name: one for name, one in kept.items() if one})
        card = make_card(
            self.run,
            self.plan,
            facts=facts.of_model(
                arithmetic=self.how.facts(),
                step=outcome.step,
                validation=jsonable(outcome.metrics),
            ),
            mean=self.validation.weight,
            interval=self.validation.interval,
            trained=contexts_of(self.plan.training, self.validation.store),
        )
        return Model(
            self.trainer.sampler,
            card=card,
            graph=self.plan.graph,
            split=self.plan.split,
            base=self.validation.base,
        )


def _damage(checkpoint: Checkpoint, *, step: int) -> str | None:
    """What to say of newer checkpoints that cannot be used."""
    if not checkpoint.damaged:
        return None
    return f"{'; '.join(checkpoint.damaged)}; goes on after step {step}, from {checkpoint.path}"
