"""The made-up network and cells that both sides of a benchmark work on."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdfm.flow.objective import StepCells

SPECIALS = 4  # <pad> <cls> <mask> control, before the genes
NULL = 3  # control


@dataclass(frozen=True)
class Task:
    """Genes, who sees whom, and some cells.

    Attributes:
        forbidden: The gene encoder's mask, bool (tokens, tokens).
        control: Control cells, (cells, genes).
        target: Perturbed cells, (cells, genes).
        condition: Token ids of a double, (2,).
    """

    forbidden: Tensor
    control: Tensor
    target: Tensor
    condition: Tensor

    @property
    def genes(self) -> int:
        """All genes."""
        return self.control.shape[1]

    @property
    def tokens(self) -> Tensor:
        """Token id of each gene, (genes,)."""
        return torch.arange(SPECIALS, SPECIALS + self.genes)

    def step(self, index: int, *, genes: int, cells: int | None = None) -> StepCells:
        """Some cells, or all, and a random subset of genes for one step."""
        generator = torch.Generator().manual_seed(index)
        subset = torch.randperm(self.genes, generator=generator)[:genes]
        rows = torch.randperm(len(self.target), generator=generator)[:cells]
        return StepCells(
            index=index,
            target=self.target[rows][:, subset],
            control=self.control[rows][:, subset],
            genes=self.tokens[subset],
            conditions=self.condition[None],
            sizes=(len(rows),),
            names=("a double",),
        )


def make_task(*, genes: int, cells: int, neighbours: int = 30, seed: int = 0) -> Task:
    """Draw a graph of Norman's shape (hubs of about 2,000 neighbours) and log-normalised cells."""
    draw = np.random.default_rng(seed)
    mean = np.exp(draw.normal(-2.5, 2.0, size=genes)).clip(max=40)

    def expression(factor: NDArray[np.float64]) -> Tensor:
        counts = draw.poisson(draw.gamma(6.0, mean * factor / 6.0, size=(cells, genes)))
        return torch.from_numpy(np.log1p(counts * 0.8).astype(np.float32))

    effect = np.exp(draw.normal(0.0, 0.5, size=genes))
    return Task(
        forbidden=~_edges(genes, neighbours=neighbours, draw=draw),
        control=expression(np.ones(genes)),
        target=expression(effect),
        condition=torch.from_numpy(SPECIALS + draw.choice(genes, size=2, replace=False)),
    )


def _edges(genes: int, *, neighbours: int, draw: np.random.Generator) -> Tensor:
    """Who sees whom, bool (tokens, tokens), symmetric: each picks some, popular ones more often."""
    popularity = draw.pareto(1.5, size=genes) + 0.2
    popularity /= popularity.sum()
    sees = torch.eye(SPECIALS + genes, dtype=torch.bool)
    for gene in range(genes):
        chosen = draw.choice(genes, size=min(neighbours, genes - 1), replace=False, p=popularity)
        sees[SPECIALS + gene, SPECIALS + chosen] = True
    return sees | sees.T
