"""What a network is given of the training cells before its first step, where its options ask.

It is part of a run's plan, and then of the model, beside the weights.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cluster.runs.graph import blocks, share
from cluster.settings.config import RunConfig
from data_store.store.reader import Store
from data_store.stream import Cells
from scdfm.method import DEFAULT
from scdfm.model.components import principal_components
from scdfm.screen.variable_genes import ChosenGenes

CELLS = 100_000  # that components are taken from, at most

Given = dict[str, Tensor]
"""Facts by the names that the network has for them (`VelocityField.given`)."""


def given(run: RunConfig, store: Store, *, cells: Sequence[Cells], genes: ChosenGenes) -> Given:
    """What a run's network is given.

    Args:
        run: Whose options ask.
        store: Where the cells are.
        cells: Training cells and their controls.
        genes: The run's.
    """
    facts: Given = {}
    if run.method == DEFAULT and run.model.rank is not None:
        by_context: dict[str, list[Cells]] = {}
        for part in share(cells, limit=CELLS):
            by_context.setdefault(store.units[part.unit].context, []).append(part)
        components = principal_components(
            (blocks(store, some, genes=genes.model) for some in by_context.values()),
            genes=len(genes.model),
            rank=run.model.rank,
        )
        facts["low_rank.components"] = torch.from_numpy(components)
    return facts
