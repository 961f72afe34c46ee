"""One worker's share of a run: read the plan, feed the trainer, keep checkpoints.

Everything is in the run's directory, so that any process can continue what another began:

    run.yaml split.json genes.json graph.npz manifest.json   what the run is
    metrics.jsonl                                            what happened, a line for each event
    checkpoints/step-*/                                      the latest training state
    model/ best.json                                         the best model so far
    result.json                                              written last: the run is done
"""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed
from torch import nn

from cluster import lease
from cluster.feed import feed
from cluster.fine_tune import begin_from, require_source, source_facts, source_note
from cluster.graph import edges_changed, graph_note
from cluster.journal import Journal
from cluster.plan import Plan, make_plan, require_edges, run_split, validation_cells
from cluster.precision import fast_matmul
from cluster.provenance import provenance
from cluster.run import RunConfig, difference, read_run, write_run
from cluster.sampler import Sampler, pseudobulks
from data_store.reader import Store
from data_store.stream import Stream
from scdfm.checkpoint import Model, ModelCard, load_state, save_model, save_state
from scdfm.metrics import evaluate
from scdfm.model import VelocityField, build_field
from scdfm.randomness import seed_torch
from scdfm.training import Round, StepLog, Trainer, fit

RUN, MANIFEST, RESULT, BEST, MODEL, CHECKPOINTS = (
    "run.yaml",
    "manifest.json",
    "result.json",
    "best.json",
    "model",
    "checkpoints",
)
METRICS = ("mse", "mae", "l2", "pearson_delta", "discrimination_score_l1")

Report = Callable[[dict[str, Any]], None]


class TrainResult(NamedTuple):
    """What training left behind."""

    directory: Path
    model: Path  # the best model
    best_step: int
    metrics: dict[str, float]  # of the validation round that chose the model
    finished: bool


class Place(NamedTuple):
    """Where a worker stands in its group."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")


def check(run: RunConfig) -> None:
    """Refuse a run that could not begin, before anything is written.

    Raises:
        FileNotFoundError: No such store, list of edges or model to start from.
        ValueError: No whole store, a split with an empty part, a list of edges or a model to start
            from that does not fit, or the run's directory holds another configuration or was made
            from other cells or edges.
    """
    with Store.open(run.store) as store:
        if (run.directory / RUN).is_file():
            _same_run(run, run.directory, fingerprint=store.fingerprint)
        else:
            require_inputs(run, store)


def require_inputs(run: RunConfig, store: Store) -> None:
    """Refuse a run whose split, list of edges or first weights do not fit the store.

    Raises:
        FileNotFoundError: No such list of edges or model to start from.
        ValueError: One of them does not fit.
    """
    split = run_split(run, store)
    validation_cells(split, store, run=run)
    require_edges(run, store, split=split)
    require_source(run, perturbation=store.perturbation)


def prepare(run: RunConfig) -> None:
    """Make the plan of a run that `check` found in order, or keep the one that is there."""
    directory = run.directory
    with Store.open(run.store) as store:
        if not (directory / MANIFEST).is_file():
            plan = make_plan(run, store)
            facts = {**provenance(run, store), "graph": plan.graph_facts}
            if run.init_from is not None:
                facts["init_from"] = source_facts(run, plan)
            directory.mkdir(parents=True, exist_ok=True)
            write_run(run, directory / RUN)
            plan.save(directory)
            (directory / MANIFEST).write_text(json.dumps(facts, indent=1))


def _same_run(run: RunConfig, directory: Path, *, fingerprint: str) -> None:
    changed = difference(read_run(directory / RUN), run)
    if changed:
        raise ValueError(
            f"{directory} holds another run: {changed}; choose another name or delete it"
        )
    facts = manifest(directory)
    if not facts:
        return
    trained_on = facts["fingerprint"]
    if trained_on != fingerprint:
        raise ValueError(
            f"{directory} was begun on store {trained_on[:12]} and {run.store} is now "
            f"{fingerprint[:12]}; choose another name or delete it"
        )
    edges = edges_changed(run.graph, facts.get("graph", {}))
    if edges:
        raise ValueError(f"{directory} was begun {edges}; choose another name or delete it")


def manifest(directory: Path) -> dict[str, Any]:
    """What a run was begun with; empty before that."""
    file = directory / MANIFEST
    facts: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return facts


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
    fast_matmul(place.device)
    with Store.open(run.store) as store:
        plan = Plan.load(run.directory, run=run, store=store)
        state = latest_checkpoint(run.directory)
        # A run that goes on does not need the model that it started from.
        first = None if state is not None else manifest(run.directory).get("init_from")
        trainer = make_trainer(run, plan, place=place, wrap=wrap, first=first)
        keeper = Keeper(run, store=store, plan=plan, trainer=trainer, token=token, report=report)
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
                validate=lambda field: _validate(field, run, store, plan, place=place),
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
    )


def untrained(run: RunConfig, plan: Plan) -> VelocityField:
    """The field as training finds it: weights drawn from the run's seed."""
    seed_torch(run.seed, "weights")
    field = build_field(run.model, vocabulary=plan.vocabulary, graph=plan.graph)
    if run.source != "noise":
        field.start_at_rest()
    return field


def _validate(
    field: VelocityField, run: RunConfig, store: Store, plan: Plan, *, place: Place
) -> dict[str, float]:
    """Score the field on the validation part; rank 0 computes, the others are told."""
    scores: list[dict[str, float] | None] = [None]
    if place.rank == 0:
        sampler = validation_sampler(field, run, plan)
        generated = [run.validation.cells] * len(plan.validation)
        units = pseudobulks(sampler, store, plan.validation, generated=generated)
        overall = evaluate(units, metrics=METRICS).overall
        scores = [{name: score.value for name, score in overall.items()}]
    if place.world > 1:
        torch.distributed.broadcast_object_list(scores, src=0)
    assert scores[0] is not None
    return scores[0]


def validation_sampler(field: VelocityField, run: RunConfig, plan: Plan) -> Sampler:
    """The sampler of validation rounds: the evaluation genes, few solver steps."""
    card = make_card(run, plan, facts={})
    return Sampler(
        field=field,
        columns=plan.genes.model,
        blocks=card.blocks(which="evaluation"),
        source=run.source,
        config=run.sampling.model_copy(update={"steps": run.validation.steps}),
        seed=run.seed,
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
        token: str,
        report: Report,
    ) -> None:
        self.run, self.plan, self.trainer, self.token = run, plan, trainer, token
        begun = manifest(run.directory)
        self.facts = provenance(run, store)
        self.facts |= {name: begun[name] for name in ("graph", "init_from") if name in begun}
        self.directory = run.directory
        self.journal = Journal(run.directory, report=report)

    def begin(self, step: int | None) -> None:
        """Go on after a step, or begin with what is to be said about graph and first weights."""
        self.journal.rewind(-1 if step is None else step)
        if step is None:
            notes = [graph_note(self.facts.get("graph", {}))]
            if "init_from" in self.facts:
                notes.append(source_note(self.facts["init_from"]))
            for note in filter(None, notes):
                self.journal.write({"step": 0, "steps": self.run.training.steps, "note": note})

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
        facts = {**self.facts, "step": outcome.step, "validation": _jsonable(outcome.metrics)}
        card = make_card(self.run, self.plan, facts=facts)
        save_model(
            Model(self.trainer.sampler, card=card, graph=self.plan.graph, split=self.plan.split),
            self.directory / MODEL,
        )
        _write(self.directory / BEST, {"step": outcome.step, "metrics": outcome.metrics})

    def finish(self) -> None:
        """Record that the run is done."""
        best = json.loads((self.directory / BEST).read_text())
        _write(self.directory / RESULT, {**best, "steps": self.trainer.progress.step})


def result(run: RunConfig) -> TrainResult:
    """What a run has reached so far."""
    best = json.loads((run.directory / BEST).read_text())
    return TrainResult(
        directory=run.directory,
        model=run.directory / MODEL,
        best_step=best["step"],
        metrics={
            name: math.nan if value is None else value for name, value in best["metrics"].items()
        },
        finished=(run.directory / RESULT).is_file(),
    )


def latest_checkpoint(directory: Path) -> Path | None:
    """The newest whole training state of a run."""
    return max((directory / CHECKPOINTS).glob("step-*"), default=None)


def forget(directory: Path) -> None:
    """Remove what a finished or abandoned run no longer needs: its training states."""
    shutil.rmtree(directory / CHECKPOINTS, ignore_errors=True)


def _write(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps({name: _jsonable(value) for name, value in content.items()}))
    os.replace(draft, path)


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _jsonable(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
