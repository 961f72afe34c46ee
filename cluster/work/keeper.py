"""Writes what happens in a run: journal, best model, training state, and the end."""

from collections.abc import Callable
from typing import cast

from cluster.runs.directory import RunDirectory
from cluster.runs.fine_tune import source_note
from cluster.runs.graph import graph_note
from cluster.runs.plan import Plan
from cluster.runs.precision import Arithmetic
from cluster.runs.records import Computed, Line, RunManifest
from cluster.settings.config import RunConfig
from cluster.work.build import make_card
from cluster.work.folds.facts import folds_note
from cluster.work.validation import Validation
from scdfm.flow.checkpoint import Model
from scdfm.flow.training import Round, StepLog, Trainer
from scdfm.screen.atomic import jsonable
from scdfm.splits.told import validation_note

Report = Callable[[Line], None]


class Keeper:
    """Saves what a run has learnt; only rank 0 uses one."""

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
        """
        self.run, self.directory, self.plan, self.trainer = run, directory, plan, trainer
        self.facts, self.validation, self.how, self.report = facts, validation, how, report
        self.journal = directory.journal

    def begin(self, step: int | None) -> None:
        """Continue after a step, or begin with notes about graph and first weights."""
        self.directory.require_held()
        self.directory.discard_drafts()
        self.journal.rewind(-1 if step is None else step)
        self._note_arithmetic(step)
        if step is None:
            begun = self._begun
            self._note(0, graph_note(begun.graph))
            self._note(0, source_note(begun.init_from) if begun.init_from is not None else None)
            self._note(0, validation_note(self.plan.split))
            self._note(0, folds_note(begun.folds, metric=self.run.validation.metric))

    def log(self, line: StepLog) -> None:
        """Record the mean of some steps."""
        rate = {"learning_rate": line.learning_rate, "steps_per_second": line.steps_per_second}
        told = {"step": line.step, "loss": line.loss, **line.parts, **rate}
        self._write(cast(Line, {**told, "steps": self.trainer.last_step}))

    def keep(self, outcome: Round) -> None:
        """Record a validation round: model if it is the best, journal, then training state."""
        self.directory.require_held()
        # A rerun starts from the last state and repeats what came after it, byte for byte: so
        # model and journal may be ahead of the state, never behind.
        if outcome.improved or self.directory.best is None:
            self.directory.keep_model(
                self._model(outcome), step=outcome.step, metrics=outcome.metrics
            )
        line: Line = {
            "step": outcome.step,
            "steps": self.trainer.last_step,
            "validation": dict(outcome.metrics),
            "best": outcome.improved,
        }
        if self.validation.flow is not None:
            line["flow"] = self.validation.flow.plain()
        self._write(line)
        self.directory.keep_state(self.trainer.state(), step=outcome.step)

    def finish(self) -> None:
        """Record that the run is done."""
        self.directory.finish(steps=self.trainer.progress.step)

    @property
    def _begun(self) -> RunManifest:
        begun = self.directory.manifest
        assert begun is not None
        return begun

    def _note_arithmetic(self, step: int | None) -> None:
        """Record how steps are computed from here on, if that has changed.

        A run may continue on another machine; the manifest lists what computed it, step by step.
        """
        begun, now = self._begun, Computed(step=step or 0, **self.how.facts())
        known = () if step is None else begun.arithmetic
        before = tuple(one for one in known if one.step < now.step)
        goes_on = bool(before) and before[-1].model_copy(update={"step": now.step}) == now
        after = before if goes_on else (*before, now)
        if after == known:
            return
        self.directory.write_manifest(begun.model_copy(update={"arithmetic": after}))
        if not goes_on:
            self._note(now.step, f"computes in {self.how}")

    def _note(self, step: int, note: str | None) -> None:
        if note is not None:
            self._write({"step": step, "steps": self.trainer.last_step, "note": note})

    def _write(self, line: Line) -> None:
        self.journal.write(line)
        self.report(line)

    def _model(self, outcome: Round) -> Model:
        begun = self._begun
        folds = begun.folds and begun.folds.model_copy(update={"rounds": ()})  # many, in the run
        kept = {"graph": begun.graph, "init_from": begun.init_from, "folds": folds}
        facts = self.facts.model_copy(update={name: one for name, one in kept.items() if one})
        card = make_card(
            self.run,
            self.plan,
            facts={
                **facts.plain(),
                "arithmetic": self.how.facts(),
                "step": outcome.step,
                "validation": jsonable(outcome.metrics),
            },
            mean=self.validation.weight,
        )
        return Model(
            self.trainer.sampler,
            card=card,
            graph=self.plan.graph,
            split=self.plan.split,
            base=self.validation.base,
        )
