"""What a network is given of the training cells before its first step, where its options ask.

It is part of a run's plan, and then of the model, beside the weights.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cluster.runs.graph import blocks, share
from data_store.store.reader import Store
from data_store.stream import Cells
from scdfm.model.components import principal_components
from scdfm.model.config import ModelConfig
from scdfm.model.vocabulary import Vocabulary

CELLS = 100_000  # that components are taken from, at most

Given = dict[str, Tensor]
"""Facts by the names that the network has for them (`VelocityField.given`)."""


def given(
    config: ModelConfig,
    store: Store,
    *,
    cells: Sequence[Cells],
    genes: NDArray[np.int64],
    names: Vocabulary,
) -> Given:
    """What a network is given.

    Args:
        config: Its options.
        store: Where the cells are.
        cells: Training cells and their controls.
        genes: The run's, columns of the store.
        names: Of genes and perturbations.
    """
    facts: Given = {}
    if config.rank is not None:
        facts["low_rank.components"] = _components(store, cells, genes=genes, rank=config.rank)
    if config.token_dropout:
        facts["unknown.trained"] = _trained(store, cells, names=names)
    return facts


def _components(
    store: Store, cells: Sequence[Cells], *, genes: NDArray[np.int64], rank: int
) -> Tensor:
    """Principal components of the cells around their context's mean, (genes, rank)."""
    by_context: dict[str, list[Cells]] = {}
    for part in share(cells, limit=CELLS):
        by_context.setdefault(store.units[part.unit].context, []).append(part)
    groups = (blocks(store, some, genes=genes) for some in by_context.values())
    return torch.from_numpy(principal_components(groups, genes=len(genes), rank=rank))


def _trained(store: Store, cells: Sequence[Cells], *, names: Vocabulary) -> Tensor:
    """Which tokens some training cell had, (tokens,); the null token is one."""
    trained = torch.zeros(names.tokens, dtype=torch.bool)
    for part in cells:
        trained[names.ids(store.units[part.unit].tokens, slots=1)] = True
    return trained
