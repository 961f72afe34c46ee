"""Writes what happens in a run: journal, best model, training state, and that it is done."""

import json
import shutil
from collections.abc import Callable
from typing import Any

from cluster.runs import lease
from cluster.runs.config import RunConfig
from cluster.runs.directory import (
    BEST,
    CHECKPOINTS,
    MANIFEST,
    MODEL,
    RESULT,
    discard_leftovers,
    jsonable,
    manifest,
    write_json,
)
from cluster.runs.fine_tune import source_note
from cluster.runs.graph import graph_note
from cluster.runs.journal import Journal
from cluster.runs.plan import Plan
from cluster.runs.precision import Arithmetic
from cluster.runs.provenance import provenance
from cluster.work.build import make_card
from data_store.store.reader import Store
from scdfm.flow.checkpoint import Model, save_model, save_state
from scdfm.flow.training import Round, StepLog, Trainer

Report = Callable[[dict[str, Any]], None]


class Keeper:
    """Writes what happens in a run; only rank 0 uses one."""

    def __init__(
        self,
        run: RunConfig,
        *,
        store: Store,
        plan: Plan,
        trainer: Trainer,
        how: Arithmetic,
        token: str,
        report: Report,
    ) -> None:
        self.run, self.plan, self.trainer, self.token = run, plan, trainer, token
        begun = manifest(run.directory)
        self.facts = provenance(run, store)
        self.facts |= {name: begun[name] for name in ("graph", "init_from") if name in begun}
        self.facts["arithmetic"] = how.facts()
        self.how = how
        self.directory = run.directory
        self.journal = Journal(run.directory, report=report)

    def begin(self, step: int | None) -> None:
        """Go on after a step, or begin with what is to be said about graph and first weights."""
        lease.check(self.directory, self.token)
        discard_leftovers(self.directory)
        self.journal.rewind(-1 if step is None else step)
        self._note_arithmetic(step)
        if step is None:
            notes = [graph_note(self.facts.get("graph", {}))]
            if "init_from" in self.facts:
                notes.append(source_note(self.facts["init_from"]))
            for note in filter(None, notes):
                self.journal.write({"step": 0, "steps": self.run.training.steps, "note": note})

    def _note_arithmetic(self, step: int | None) -> None:
        """Say how steps are computed from here on, where that is not yet known.

        A run may go on elsewhere: the manifest lists from which step it was computed how.
        """
        facts, now = manifest(self.directory), {"step": step or 0, **self.how.facts()}
        known = [] if step is None else facts.get("arithmetic", [])
        before = [one for one in known if one["step"] < now["step"]]
        goes_on = bool(before) and {**before[-1], "step": now["step"]} == now
        after = before if goes_on else [*before, now]
        if after == known:
            return
        write_json(self.directory / MANIFEST, {**facts, "arithmetic": after})
        if not goes_on:
            note = f"computes in {self.how}"
            self.journal.write(
                {"step": now["step"], "steps": self.run.training.steps, "note": note}
            )

    def log(self, line: StepLog) -> None:
        """Record the mean of some steps."""
        self.journal.write({**line._asdict(), "steps": self.run.training.steps})

    def keep(self, outcome: Round) -> None:
        """Record a validation round: model if it is the best, journal, then training state."""
        lease.check(self.directory, self.token)
        # A rerun starts from the last state and repeats what came after it, byte for byte: so
        # model and journal may be ahead of the state, never behind.
        if outcome.improved or not (self.directory / BEST).is_file():
            self._export(outcome)
        self.journal.write(
            {
                "step": outcome.step,
                "steps": self.run.training.steps,
                "validation": outcome.metrics,
                "best": outcome.improved,
            }
        )
        path = self.directory / CHECKPOINTS / f"step-{outcome.step:08d}"
        save_state(self.trainer.state(), path)
        for older in sorted(path.parent.glob("step-*")):
            if older != path:
                shutil.rmtree(older)

    def _export(self, outcome: Round) -> None:
        facts = {**self.facts, "step": outcome.step, "validation": jsonable(outcome.metrics)}
        card = make_card(self.run, self.plan, facts=facts)
        save_model(
            Model(self.trainer.sampler, card=card, graph=self.plan.graph, split=self.plan.split),
            self.directory / MODEL,
        )
        write_json(self.directory / BEST, {"step": outcome.step, "metrics": outcome.metrics})

    def finish(self) -> None:
        """Record that the run is done."""
        best = json.loads((self.directory / BEST).read_text())
        write_json(self.directory / RESULT, {**best, "steps": self.trainer.progress.step})
