"""What is trained, made from a run and its plan: the field, its optimiser, its model's card."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import torch
from torch import nn

from cluster.runs.fine_tune import begin_from
from cluster.runs.parts.plan_files import GIVEN
from cluster.runs.plan import Plan
from cluster.runs.precision import Arithmetic
from cluster.settings.config import RunConfig
from scdfm.flow.certainty.intervals import IntervalFactor
from scdfm.flow.checkpoint import ModelCard
from scdfm.flow.combined import FlowWeight
from scdfm.flow.provenance import Provenance, SourceFacts
from scdfm.flow.randomness import seed_torch
from scdfm.flow.training import Trainer
from scdfm.gene_graph.graph import GeneGraph
from scdfm.method import METHODS, Configured, settings_of
from scdfm.model.field import VelocityField
from scdfm.model.vocabulary import Vocabulary


class Place(NamedTuple):
    """A worker's place in its group."""

    rank: int = 0
    world: int = 1
    device: torch.device = torch.device("cpu")
    most: int | None = None  # workers whose batches make a step, where fewer may do; None: world

    def together(self, accumulate: int) -> int:
        """Batches of a step, of all workers."""
        return (self.most or self.world) * accumulate

    def own(self, accumulate: int) -> int:
        """Batches of a step that this worker takes."""
        return len(range(self.rank, self.together(accumulate), self.world))


def make_trainer(
    run: RunConfig,
    plan: Plan,
    *,
    place: Place,
    how: Arithmetic,
    wrap: Callable[[nn.Module], nn.Module] | None = None,
    first: SourceFacts | None = None,
) -> Trainer:
    """Build the untrained network of a run, with its optimiser.

    `first` says which model its weights come from; None: they are drawn.
    """
    field = untrained(run, plan)
    if first is not None:
        begin_from(cast(VelocityField, field), facts=first)
    field = field.to(place.device)
    losses = METHODS[run.method].losses
    return Trainer(
        field,
        training=run.training,
        losses=partial(losses, settings=settings_of(run), products=how.products),
        seed=run.seed,
        world=place.world,
        together=place.together(run.training.accumulate),
        own=place.own(run.training.accumulate),
        wrapped=wrap(field) if wrap else None,
        compiled=how.compiled,
    )


def untrained(run: RunConfig, plan: Plan) -> nn.Module:
    """The network before training: weights drawn from the run's seed, and what it is given.

    Raises:
        ValueError: The plan lacks a fact that the network is to be given.
    """
    network = first_weights(run, seed=run.seed, vocabulary=plan.vocabulary, graph=plan.graph)
    if isinstance(network, VelocityField):
        missing = sorted(network.given.keys() - plan.given.keys())
        if missing:
            raise ValueError(
                f"the plan of {run.directory} has lost {missing[0]} (of {GIVEN}), which its "
                "network reads; delete the run to begin it again"
            )
        network.give(plan.given)
    return network


def first_weights(
    config: Configured, *, seed: int, vocabulary: Vocabulary, graph: GeneGraph
) -> nn.Module:
    """The network of a run or a model's card, its weights drawn from the run's seed."""
    seed_torch(seed, "weights")
    return METHODS[config.method].build(settings_of(config), vocabulary=vocabulary, graph=graph)


def make_card(
    run: RunConfig,
    plan: Plan,
    *,
    facts: Provenance,
    mean: FlowWeight | None = None,
    interval: IntervalFactor | None = None,
    trained: tuple[str, ...] | None = None,
) -> ModelCard:
    """Describe a run's model.

    Args:
        run: The run.
        plan: Of the run.
        facts: Its provenance.
        mean: The weight of its flow, where it has a base.
        interval: How wide intervals must be.
        trained: Contexts of its training units.
    """
    names = dict(zip(plan.genes.model.tolist(), plan.vocabulary.genes, strict=True))
    return ModelCard(
        method=run.method,
        settings=run.settings,
        model=run.model,
        source=run.source,
        sampling=run.sampling,
        genes=plan.vocabulary.genes,
        perturbations=plan.vocabulary.perturbations,
        perturbation=plan.vocabulary.kind,
        contexts=facts.contexts,
        trained_contexts=trained,
        evaluation_genes=tuple(names[column] for column in plan.genes.evaluation.tolist()),
        genes_per_step=run.batch.genes,
        seed=run.seed,
        words=plan.words,
        mean=mean,
        interval=interval,
        provenance=facts,
    )
