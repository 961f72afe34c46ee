"""From a run and its plan to what is trained: the field, its optimiser, the card of its model."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from cluster.runs.config import RunConfig
from cluster.runs.fine_tune import begin_from
from cluster.runs.plan import Plan
from cluster.runs.precision import Arithmetic
from cluster.runs.records import SourceFacts
from scdfm.flow.checkpoint import ModelCard
from scdfm.flow.randomness import seed_torch
from scdfm.flow.training import Trainer
from scdfm.model.paper import VelocityField, build_field


class Place(NamedTuple):
    """Where a worker stands in its group."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")


def make_trainer(
    run: RunConfig,
    plan: Plan,
    *,
    place: Place,
    how: Arithmetic,
    wrap: Callable[[VelocityField], nn.Module] | None = None,
    first: SourceFacts | None = None,
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
        words=plan.words,
        provenance=facts,
    )
