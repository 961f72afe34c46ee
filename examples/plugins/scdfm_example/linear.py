"""A linear model: a perturbation adds the same change to every cell, and changes add up."""

from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, NonNegativeFloat
from torch import Tensor, nn

from scdfm.method import Losses, Method
from scdfm.model.vocabulary import Vocabulary


class LinearSettings(BaseModel, frozen=True, extra="forbid"):
    """What `settings` of a run file may hold."""

    ridge: NonNegativeFloat = 0.01  # weight of the size of the changes


class Changes(nn.Module):
    """The change that each perturbation makes to each gene, (tokens, genes)."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.table = nn.Parameter(torch.zeros(vocabulary.tokens, len(vocabulary.genes)))

    def forward(self, conditions: Tensor, genes: Tensor) -> Tensor:
        """Sum over a condition's tokens (units, slots), (units, genes)."""
        counts = (conditions >= 0) & (conditions != self.vocabulary.null)
        changes: Tensor = self.table[conditions.clamp_min(0)][..., genes]
        return (changes * counts.unsqueeze(-1)).sum(dim=1)


class Linear(Method):
    """Ridge regression of a unit's mean change on its perturbations."""

    Settings = LinearSettings

    def build(self, settings: LinearSettings, *, vocabulary: Vocabulary, graph: Any) -> Changes:
        return Changes(vocabulary)

    def losses(self, network: Any, cells: Any, *, settings: LinearSettings, **_: Any) -> Losses:
        changes = network(cells.conditions, cells.genes)
        real = (cells.target - cells.control).split(list(cells.sizes))
        fit = (changes - torch.stack([unit.mean(dim=0) for unit in real])).square().mean()
        size = changes.square().mean()
        return Losses(fit + settings.ridge * size, {"fit": fit, "size": size})

    def generate(self, network: Any, cells: Any, *, condition: Any, blocks: Any, **_: Any) -> Any:
        device, genes = network.table.device, np.concatenate(blocks)
        conditions = torch.tensor([network.vocabulary.ids(condition)], device=device)
        with torch.inference_mode():
            change = network(conditions, torch.from_numpy(genes).to(device))
        return (cells.control[:, genes] + change.cpu().numpy()).clip(0)


LINEAR = Linear()
