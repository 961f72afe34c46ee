"""From the store's batches (numpy) to a training step's cells (tensors on a device)."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from cluster.work.channel import UnitChanges
from data_store.store.reader import Store
from data_store.stream import Batch
from scdfm.flow.objective import StepCells
from scdfm.model.vocabulary import Vocabulary


def feed(
    batches: Iterable[Batch],
    *,
    store: Store,
    vocabulary: Vocabulary,
    device: torch.device,
    changes: UnitChanges | None = None,
) -> Iterator[StepCells]:
    """Put each batch on the device, with what a base channel reads of its units."""
    for batch in batches:
        cells = step_cells(batch, store=store, vocabulary=vocabulary, device=device)
        if changes is not None:
            rows = torch.stack([changes[position] for position in batch.units])
            genes = torch.from_numpy(batch.genes)
            cells = replace(cells, base=rows[:, genes].to(device, non_blocking=True))
        yield cells


def step_cells(
    batch: Batch, *, store: Store, vocabulary: Vocabulary, device: torch.device
) -> StepCells:
    """Put one batch on the device."""
    units = [store.units[position] for position in batch.units]
    asked = len(batch.reference) > 0
    sizes = (batch.offsets[1:] - batch.offsets[:-1]).tolist()
    return StepCells(
        index=batch.index,
        target=torch.from_numpy(batch.target).to(device, non_blocking=True),
        control=torch.from_numpy(batch.control).to(device, non_blocking=True),
        genes=torch.from_numpy(batch.genes).to(device),
        conditions=torch.tensor(vocabulary.table([unit.tokens for unit in units]), device=device),
        sizes=tuple(sizes),
        names=tuple(f"{unit.condition} ({unit.context})" for unit in units),
        reference=torch.from_numpy(batch.reference).to(device, non_blocking=True)
        if asked
        else None,
        reference_sizes=batch.reference_sizes if asked else (),
    )
