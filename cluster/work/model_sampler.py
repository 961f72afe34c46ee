"""The sampler of a model: its flow, alone or combined with its base, or controls that move."""

import numpy as np
import torch
from numpy.typing import NDArray

from cluster.work.combined import CombinedSampler
from cluster.work.members.sampler import EnsembleSampler
from cluster.work.moved import moved_or_same
from cluster.work.sampler import Sampler
from scdfm.flow.checkpoint import Model
from scdfm.method import METHODS, settings_of


def sampler_of(
    model: Model, *, genes: NDArray[np.int64], seed: int, products: torch.dtype | None
) -> Sampler:
    """A model's sampler for the blocks that hold these gene ids; it stays on the field's device."""
    card = model.card
    if model.members:
        members = tuple(
            sampler_of(member, genes=genes, seed=seed, products=products)
            for member in model.members
        )
        return EnsembleSampler(
            method=METHODS[card.method],
            field=model.field,
            settings=settings_of(card),
            blocks=[np.unique(genes)],
            # Each member gets a batch of its own size.
            batch=len(members) * card.sampling.batch,
            seed=seed,
            products=products,
            members=members,
        )
    wanted = set(genes.tolist())
    blocks = card.blocks(which="all")
    method, settings = METHODS[card.method], settings_of(card)
    plain = Sampler(
        method=method,
        field=model.field,
        settings=settings,
        blocks=[block for block in blocks if wanted.intersection(block.tolist())],
        batch=card.sampling.batch,
        seed=seed,
        products=products,
    )
    if model.base is None or card.mean is None:
        return moved_or_same(plain)
    return CombinedSampler(
        **vars(plain),
        base=model.base,
        alpha=card.mean.flow,
        beta=card.sampling.shape(card.source),
        most=card.sampling.mean.cells,
        own_seed=card.seed,
        unclamped=method.unclamped(settings),
    )
