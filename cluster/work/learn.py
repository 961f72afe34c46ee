"""One worker's share of a run: read the plan, feed the trainer, keep checkpoints.

What is written, and where, is told in `cluster.runs.directory`.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import torch
import torch.distributed
from torch import nn

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
    latest_checkpoint,
    manifest,
    write_json,
)
from cluster.runs.fine_tune import begin_from, source_note
from cluster.runs.graph import graph_note
from cluster.runs.journal import Journal
from cluster.runs.plan import Plan
from cluster.runs.precision import Arithmetic, arithmetic
from cluster.runs.provenance import provenance
from cluster.work.feed import feed
from cluster.work.sampler import Sampler, pseudobulks
from data_store.store.reader import Store
from data_store.stream import Stream
from scdfm.flow.checkpoint import Model, ModelCard, load_state, save_model, save_state
from scdfm.flow.randomness import seed_torch
from scdfm.flow.training import Round, StepLog, Trainer, fit
from scdfm.metrics import evaluate
from scdfm.model.paper import VelocityField, build_field

METRICS = ("mse", "mae", "l2", "pearson_delta", "discrimination_score_l1")

Report = Callable[[dict[str, Any]], None]


class Place(NamedTuple):
    """Where a worker stands in its group."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")


def learn(
    run: RunConfig,
    *,
    place: Place,
    token: str,
    on_round: Callable[[Round], bool],
    report: Report,
    wrap: Callable[[VelocityField], nn.Module] | None = None,
) -> None:
    """Train on this worker's share of the batches until the run is done.

    Args:
        run: The run; `prepare` made its directory.
        place: Rank, number of workers, device.
        token: Of the run's lease; a worker that lost it stops before it writes.
        on_round: Called after every validation round; False stops early.
        report: Receives what is written to metrics.jsonl, on rank 0.
        wrap: Puts the field into its data-parallel wrapper.
    """
    with (
        arithmetic(run.precision, device=place.device, compile=run.compile) as how,
        # The store may have grown since `prepare`.
        Store.open(run.store, fingerprint=manifest(run.directory).get("fingerprint")) as store,
    ):
        plan = Plan.load(run.directory, run=run, store=store)
        state = latest_checkpoint(run.directory)
        # A run that goes on does not need the model that it started from.
        first = None if state is not None else manifest(run.directory).get("init_from")
        trainer = make_trainer(run, plan, place=place, how=how, wrap=wrap, first=first)
        keeper = Keeper(
            run, store=store, plan=plan, trainer=trainer, how=how, token=token, report=report
        )
        if state is not None:
            trainer.restore(load_state(state))
        if place.rank == 0:
            keeper.begin(trainer.progress.step if state is not None else None)
        stream = Stream(
            store,
            targets=plan.training,
            genes=plan.genes.model,
            config=run.batch,
            seed=run.seed,
        )
        start = trainer.progress.next_batch
        with closing(stream.batches(start=start, rank=place.rank, world=place.world)) as batches:
            cells = feed(batches, store=store, vocabulary=plan.vocabulary, device=place.device)
            rounds = fit(
                trainer,
                cells,
                validate=lambda field: _validate(field, run, store, plan, place=place, how=how),
                watch=run.validation.metric,
                mode=run.validation.mode,
                log=keeper.log if place.rank == 0 else lambda line: None,
            )
            _go(rounds, keeper=keeper, rank=place.rank, on_round=on_round)


def _go(
    rounds: Iterator[Round],
    *,
    keeper: "Keeper",
    rank: int,
    on_round: Callable[[Round], bool],
) -> None:
    for outcome in rounds:
        if rank == 0:
            keeper.keep(outcome)
        if not on_round(outcome):
            return
    if rank == 0:
        keeper.finish()


def make_trainer(
    run: RunConfig,
    plan: Plan,
    *,
    place: Place,
    how: Arithmetic,
    wrap: Callable[[VelocityField], nn.Module] | None = None,
    first: dict[str, Any] | None = None,
) -> Trainer:
    """Build the untrained field of a run, with its optimiser.

    `first` says which model its weights are taken from; none: they are drawn.
    """
    field = untrained(run, plan)
    if first is not None:
        begin_from(field, facts=first)
    field = field.to(place.device)
    return Trainer(
        field,
        training=run.training,
        loss=run.loss,
        source=run.source,
        seed=run.seed,
        world=place.world,
        wrapped=wrap(field) if wrap else None,
        products=how.products,
        compiled=how.compiled,
    )


def untrained(run: RunConfig, plan: Plan) -> VelocityField:
    """The field as training finds it: weights drawn from the run's seed."""
    seed_torch(run.seed, "weights")
    field = build_field(run.model, vocabulary=plan.vocabulary, graph=plan.graph)
    if run.source != "noise":
        field.start_at_rest()
    return field


def _validate(
    field: VelocityField,
    run: RunConfig,
    store: Store,
    plan: Plan,
    *,
    place: Place,
    how: Arithmetic,
) -> dict[str, float]:
    """Score the field on the validation part; rank 0 computes, the others are told."""
    scores: list[dict[str, float] | None] = [None]
    if place.rank == 0:
        sampler = validation_sampler(field, run, plan, how=how)
        generated = [run.validation.cells] * len(plan.validation)
        units = pseudobulks(sampler, store, plan.validation, generated=generated)
        overall = evaluate(units, metrics=METRICS).overall
        scores = [{name: score.value for name, score in overall.items()}]
    if place.world > 1:
        torch.distributed.broadcast_object_list(scores, src=0)
    assert scores[0] is not None
    return scores[0]


def validation_sampler(
    field: VelocityField, run: RunConfig, plan: Plan, *, how: Arithmetic
) -> Sampler:
    """The sampler of validation rounds: the evaluation genes, few solver steps."""
    card = make_card(run, plan, facts={})
    return Sampler(
        field=field,
        columns=plan.genes.model,
        blocks=card.blocks(which="evaluation"),
        source=run.source,
        config=run.sampling.model_copy(update={"steps": run.validation.steps}),
        seed=run.seed,
        products=how.products,
    )


def make_card(run: RunConfig, plan: Plan, *, facts: dict[str, Any]) -> ModelCard:
    """Describe a run's model."""
    names = dict(zip(plan.genes.model.tolist(), plan.vocabulary.genes, strict=True))
    return ModelCard(
        model=run.model,
        source=run.source,
        sampling=run.sampling,
        genes=plan.vocabulary.genes,
        perturbations=plan.vocabulary.perturbations,
        perturbation=plan.vocabulary.kind,
        contexts=tuple(facts.get("contexts", ())),
        evaluation_genes=tuple(names[column] for column in plan.genes.evaluation.tolist()),
        genes_per_step=run.batch.genes,
        seed=run.seed,
        provenance=facts,
    )


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
