"""The velocity field: a Perturbation-Aware Differential Transformer over the genes of a cell.

Axes: cells (of a step), genes (of a step), units (distinct conditions of a step), width.
"""

from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from scdfm.gene_graph.graph import GeneGraph
from scdfm.model.attention import Attention, DifferentialAttention, Memory, StandardAttention
from scdfm.model.base_channel import BaseChannel
from scdfm.model.config import ModelConfig
from scdfm.model.field import VelocityField
from scdfm.model.gene_encoder import GeneEncoder
from scdfm.model.layers import (
    FeedForward,
    Injection,
    Modulation,
    TimeEmbedder,
    ValueEmbedder,
    layer_norm,
)
from scdfm.model.low_rank import LowRank, Span
from scdfm.model.networks import NETWORKS
from scdfm.model.unknown import UnknownToken
from scdfm.model.vocabulary import Vocabulary

__all__ = ["ModelConfig", "PaperField", "VelocityField", "build_field"]


class Surroundings(NamedTuple):
    """All that a velocity needs and that does not depend on x_t: once per step or rollout.

    Attributes:
        genes: Z, the encoded genes, (genes, width); with a base channel each cell has its own,
            (cells, genes, width).
        perturbation: e_p of each cell, (cells, 1, width).
        control: Keys and values of the control cells in each block.
        span: Where the velocity may lie; none: anywhere.
        guess: What the network adds its velocity to, (cells, genes); none: nothing.
    """

    genes: Tensor
    perturbation: Tensor
    control: tuple[Memory, ...]
    span: Span | None = None
    guess: Tensor | None = None


class SubLayer(nn.Module):
    """Attention with its gate, and the MLP that may follow. Source: scDFM, eqs. 11-12."""

    def __init__(self, config: ModelConfig, *, depth: int) -> None:
        super().__init__()
        width, heads = config.width, config.head_count
        self.attention = (
            DifferentialAttention(width, heads=heads, depth=depth)
            if config.attention == "differential"
            else StandardAttention(width, heads=heads)
        )
        self.modulation = Modulation(width)
        self.mlp = FeedForward(width, dropout=config.dropout) if config.mlp else None
        self.mlp_modulation = Modulation(width) if config.mlp else None

    def forward(self, h: Tensor, time: Tensor, memory: Memory | None = None) -> Tensor:
        """Attend to the memory, or to the cell itself without one."""
        attention = cast(Attention, self.attention)
        shift = self.modulation(time)
        x = shift.apply(layer_norm(h))
        y = attention(x, attention.remember(x) if memory is None else memory)
        h = torch.addcmul(h, shift.gate, y)
        if self.mlp is None or self.mlp_modulation is None:
            return h
        shift = self.mlp_modulation(time)
        return torch.addcmul(h, shift.gate, self.mlp(shift.apply(layer_norm(h))))


class Block(nn.Module):
    """Perturbation injection, self-attention, attention to the control cell."""

    def __init__(self, config: ModelConfig, *, depth: int) -> None:
        super().__init__()
        self.injection = Injection(config.width, dropout=config.dropout)
        self.own = SubLayer(config, depth=depth)
        self.cross = SubLayer(config, depth=depth)

    def forward(self, h: Tensor, *, time: Tensor, perturbation: Tensor, control: Memory) -> Tensor:
        """Transform h (cells, genes, width)."""
        h = self.injection(h, perturbation)
        return cast(Tensor, self.cross(self.own(h, time), time, control))


class PaperField(VelocityField):
    """The velocity field as the paper has it.

    Source: scDFM, sections 3.3-3.4 and A.3.
    """

    def __init__(self, config: ModelConfig, *, vocabulary: Vocabulary, graph: GeneGraph) -> None:
        """Build the field with weights drawn from torch's global generator."""
        super().__init__()
        width = config.width
        self.config, self.vocabulary = config, vocabulary
        self.values = ValueEmbedder(width, dropout=config.dropout)
        self.gene_encoder = GeneEncoder(
            vocabulary.gene_tokens,
            width,
            heads=config.head_count,
            dropout=config.dropout,
            graph=graph,
        )
        self.drugs = (
            nn.Embedding(1 + len(vocabulary.perturbations), width)
            if vocabulary.kind == "drug"
            else None
        )
        self.drug_norm = nn.LayerNorm(width) if vocabulary.kind == "drug" else None
        self.unknown = (
            UnknownToken(
                width, tokens=vocabulary.tokens, null=vocabulary.null, rate=config.token_dropout
            )
            if config.token_dropout
            else None
        )
        self.time = TimeEmbedder(width)
        self.blocks = nn.ModuleList(Block(config, depth=depth) for depth in range(config.layers))
        self.head = Injection(width, dropout=0.0)
        self.velocity_out = nn.Linear(width, 1)
        genes = len(vocabulary.genes)
        self.low_rank = LowRank(genes, rank=config.rank) if config.rank is not None else None
        self.base_channel = BaseChannel(genes, width=width) if config.base_channel else None
        self._initialise()
        if self.base_channel is not None:
            self.base_channel.silence()

    def surroundings(
        self,
        *,
        control: Tensor,
        genes: Tensor,
        conditions: Tensor,
        unit_of_cell: Tensor,
        base: Tensor | None = None,
    ) -> Surroundings:
        """Compute once what does not depend on x_t or on time."""
        z, perturbations = self.encode(genes, conditions)
        h_control = layer_norm(self.values(control) + z)
        memories = tuple(
            cast(Attention, cast(Block, block).cross.attention).remember(h_control)
            for block in self.blocks
        )
        guess = None
        if self.base_channel is not None:
            assert base is not None, "a field with a base channel is told the base"
            z = z + self.base_channel(base)[unit_of_cell]
            if self.config.base_velocity:
                guess = base[unit_of_cell]
        return Surroundings(
            genes=z,
            perturbation=perturbations[unit_of_cell].unsqueeze(1),
            control=memories,
            span=self.low_rank.span(genes) if self.low_rank is not None else None,
            guess=guess,
        )

    def velocity(self, x_t: Tensor, t: Tensor, surroundings: Surroundings) -> Tensor:
        """Velocity at x_t (cells, genes) and t (cells,), shape (cells, genes)."""
        h = self.values(x_t) + surroundings.genes
        time = self.time(t)
        for block, memory in zip(self.blocks, surroundings.control, strict=True):
            known = partial(
                block, time=time, perturbation=surroundings.perturbation, control=memory
            )
            h = self.through(known, h)
        h = nn.functional.leaky_relu(self.head(h, surroundings.perturbation), inplace=True)
        velocity: Tensor = self.velocity_out(h).squeeze(-1)
        if self.low_rank is not None and surroundings.span is not None:
            velocity = self.low_rank(velocity, surroundings.span)
        # The base is fitted to means, which components would only coarsen.
        return velocity if surroundings.guess is None else velocity + surroundings.guess


def build_field(config: ModelConfig, *, vocabulary: Vocabulary, graph: GeneGraph) -> VelocityField:
    """Build the field a configuration asks for, with weights from torch's global generator.

    Raises:
        ValueError: The graph does not have the vocabulary's genes.
    """
    if graph.tokens != len(vocabulary.genes):
        raise ValueError(
            f"the graph must have one row for each of the model's {len(vocabulary.genes)} "
            f"genes, got {graph.tokens}; build it from the same genes"
        )
    return NETWORKS[config.variant].build(config, vocabulary=vocabulary, graph=graph)
