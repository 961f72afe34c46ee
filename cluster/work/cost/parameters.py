"""How many weights a run's network has, without the memory that they would take."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from cluster.settings.config import RunConfig
from cluster.work.build import first_weights
from cluster.work.cost.steps import vocabulary
from scdfm.gene_graph.graph import none_graph
from scdfm.method import METHODS
from scdfm.model.vocabulary import Vocabulary


class _WithoutMemory(TorchFunctionMode):
    """Weights are made on torch's meta device; what a network computes at its start is not."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.empty:
            given["device"] = "meta"
        return func(*args, **given)


def count_parameters(run: RunConfig, names: Vocabulary | None = None) -> int:
    """Weights of a run's network; 0 of a method that only fits.

    Args:
        run: The run.
        names: Genes and perturbations that its model would know; default: those of its store.
    """
    if METHODS[run.method].fits:
        return 0
    known = names or vocabulary(run)
    with _WithoutMemory():
        # Which genes see each other changes no weight.
        network = first_weights(
            run, seed=run.seed, vocabulary=known, graph=none_graph(len(known.genes))
        )
    return sum(weight.numel() for weight in network.parameters())
