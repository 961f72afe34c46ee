"""The release's velocity field; what does not depend on x_t is computed once for a rollout.

It differs from the paper's: two value embedders, fused at the start; a modulation by the gene in
each block; the attentions of `scdfm.model.release.attention`; time in [0, 1] without a factor;
eight heads in the gene encoder.

Axes: cells (of a step), genes (of a step), units (distinct conditions of a step), width.
"""

from functools import partial
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from scdfm.gene_graph.graph import GeneGraph
from scdfm.model.config import ModelConfig
from scdfm.model.field import VelocityField
from scdfm.model.layers import (
    TIME_SCALE,
    FeedForward,
    Injection,
    Modulation,
    TimeEmbedder,
    ValueEmbedder,
    layer_norm,
)
from scdfm.model.release.attention import ControlMap, CrossAttention, Difference, OwnAttention
from scdfm.model.release.parts import Fusion, GeneModulation, GeneShift, ReleaseGeneEncoder

LARGEST_VALUE = 512.0  # expression above it is embedded as if it were this


class ReleaseSurroundings(NamedTuple):
    """All that a velocity needs and that does not depend on x_t: once per step or rollout.

    Attributes:
        genes: Z, the encoded genes, (genes, width).
        perturbation: e_p of each cell, (cells, 1, width).
        fused: What the control cells add to the fusion, (cells, genes, width).
        shifts: Modulation by the gene, of each block.
        control: The control cells' attention map, of each block.
    """

    genes: Tensor
    perturbation: Tensor
    fused: Tensor
    shifts: tuple[GeneShift, ...]
    control: tuple[ControlMap, ...]


class SubLayer(nn.Module):
    """Attention with its gate, then the MLP with its own."""

    def __init__(self, attention: Difference, *, width: int) -> None:
        super().__init__()
        self.attention = attention
        self.modulation = Modulation(width)
        self.mlp = FeedForward(width, dropout=0.0)
        self.mlp_modulation = Modulation(width)

    def forward(self, h: Tensor, time: Tensor, control: ControlMap | None = None) -> Tensor:
        """Attend with the control's map, or to the cell itself if there is none."""
        shift = self.modulation(time)
        attended = self.attention(shift.apply(layer_norm(h)), h if control is None else control)
        h = torch.addcmul(h, shift.gate, attended)
        shift = self.mlp_modulation(time)
        return torch.addcmul(h, shift.gate, self.mlp(shift.apply(layer_norm(h))))


class Block(nn.Module):
    """Modulation by the gene, perturbation injection, the two attentions."""

    def __init__(self, config: ModelConfig, *, depth: int) -> None:
        super().__init__()
        width, heads = config.width, config.head_count
        self.gene_modulation = GeneModulation(width)
        self.injection = Injection(width, dropout=config.dropout)
        self.own = SubLayer(OwnAttention(width, heads=heads, depth=depth), width=width)
        self.cross = SubLayer(CrossAttention(width, heads=heads, depth=depth), width=width)

    def remember(self, genes: Tensor, control: Tensor) -> tuple[GeneShift, ControlMap]:
        """Prepare what Z (genes, width) and h_c (cells, genes, width) do here."""
        attention = cast(CrossAttention, self.cross.attention)
        return self.gene_modulation.read(genes), attention.remember(control)

    def forward(
        self,
        h: Tensor,
        *,
        time: Tensor,
        perturbation: Tensor,
        shift: GeneShift,
        control: ControlMap,
    ) -> Tensor:
        """Transform h (cells, genes, width)."""
        h = self.injection(self.gene_modulation(h, shift), perturbation)
        h = functional.leaky_relu(h, inplace=True)
        return cast(Tensor, self.cross(self.own(h, time), time, control))


class ReleaseField(VelocityField):
    """How fast each gene of each cell should change at time t, as the authors' code has it.

    Called like any velocity field, or with one `condition` for all cells. Its tokens are numbers;
    where they have names, `vocabulary` is set after it was built.
    """

    def __init__(
        self, config: ModelConfig, *, graph: GeneGraph, tokens: int, drugs: int | None
    ) -> None:
        """Build the field with weights drawn from torch's global generator.

        Args:
            config: Its size.
            graph: Neighbours of the first `graph.tokens` tokens; later ones see only themselves.
            tokens: Rows of the gene table.
            drugs: Rows of the drug table; none: perturbations are genes.
        """
        assert config.variant == "release"
        super().__init__()
        width = config.width
        self.config = config
        self.values = ValueEmbedder(width, dropout=config.dropout)
        self.control_values = ValueEmbedder(width, dropout=config.dropout)
        self.gene_encoder = ReleaseGeneEncoder(tokens, width, dropout=config.dropout, graph=graph)
        self.drugs = None if drugs is None else nn.Embedding(drugs, width)
        self.drug_norm = None if drugs is None else nn.LayerNorm(width)
        self.fusion = Fusion(width)
        self.time = TimeEmbedder(width)
        self.blocks = nn.ModuleList(Block(config, depth=depth) for depth in range(config.layers))
        self.head = Injection(width, dropout=0.0)
        self.velocity_out = nn.Linear(width, 1)
        self._initialise()

    def _initialise(self) -> None:
        super()._initialise()
        for module in self.modules():
            if isinstance(module, Difference):
                module.initialise()

    def surroundings(
        self,
        *,
        control: Tensor,
        genes: Tensor,
        conditions: Tensor,
        unit_of_cell: Tensor,
        base: Tensor | None = None,
    ) -> ReleaseSurroundings:
        """Compute once what does not depend on x_t or on time."""
        assert base is None
        z, perturbations = self.encode(genes, conditions)
        h_control = self.control_values(control.clamp_max(LARGEST_VALUE)) + z
        remembered = [cast(Block, block).remember(z, h_control) for block in self.blocks]
        return ReleaseSurroundings(
            genes=z,
            perturbation=perturbations[unit_of_cell].unsqueeze(1),
            fused=self.fusion.from_control(h_control),
            shifts=tuple(shift for shift, _ in remembered),
            control=tuple(control_map for _, control_map in remembered),
        )

    def velocity(self, x_t: Tensor, t: Tensor, surroundings: ReleaseSurroundings) -> Tensor:
        """Velocity at x_t (cells, genes) and t (cells,), shape (cells, genes)."""
        around = surroundings
        h = self.values(x_t.clamp_max(LARGEST_VALUE)) + around.genes
        h = self.fusion(h, around.fused)
        time = self.time(t / TIME_SCALE)  # undoes the embedder's factor
        for block, shift, control in zip(self.blocks, around.shifts, around.control, strict=True):
            known = partial(
                block, time=time, perturbation=around.perturbation, shift=shift, control=control
            )
            h = self.through(known, h)
        h = functional.leaky_relu(self.head(h, around.perturbation), inplace=True)
        velocity: Tensor = self.velocity_out(h).squeeze(-1)
        return velocity

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        *,
        control: Tensor,
        genes: Tensor,
        conditions: Tensor | None = None,
        unit_of_cell: Tensor | None = None,
        base: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        """Velocity of each gene of each cell, (cells, genes), per unit time.

        Args:
            x_t: Cells on their way, (cells, genes).
            t: Their times, (cells,).
            control: Control cells, (cells, genes).
            genes: Gene ids, (genes,).
            conditions: Token ids of the distinct conditions, (units, slots).
            unit_of_cell: Which condition each cell gets, (cells,).
            base: None; this network has no base channel.
            condition: Instead of the two: token ids of the one condition of all cells, (n,).

        Raises:
            ValueError: Neither or both ways of naming conditions are used.
        """
        if condition is not None and conditions is None and unit_of_cell is None:
            conditions = condition[None]
            unit_of_cell = torch.zeros(len(x_t), dtype=torch.long, device=x_t.device)
        elif condition is not None or conditions is None or unit_of_cell is None:
            raise ValueError("expected either condition, or conditions with unit_of_cell")
        around = self.surroundings(
            control=control,
            genes=genes,
            conditions=conditions,
            unit_of_cell=unit_of_cell,
            base=base,
        )
        return self.velocity(x_t, t, around)
