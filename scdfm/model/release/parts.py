"""Parts of the release's network that the paper's does not have: gene encoder, fusion, modulation.

Axes: cells, genes, width.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from scdfm.gene_graph.graph import GeneGraph
from scdfm.model.gene_encoder import GeneEncoder
from scdfm.model.networks.release import ENCODER_HEADS


class GeneShift(NamedTuple):
    """What a gene does to its features in one block: h + normed * gain + offset.

    Attributes:
        gain: (genes, width).
        offset: (genes, width).
    """

    gain: Tensor
    offset: Tensor


class ReleaseGeneEncoder(GeneEncoder):
    """E_g with one more LayerNorm, on the queries, and the exact GELU."""

    def __init__(self, tokens: int, width: int, *, dropout: float, graph: GeneGraph) -> None:
        super().__init__(tokens, width, heads=ENCODER_HEADS, dropout=dropout, graph=graph)
        self.query_norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode token ids (tokens,) as (tokens, width)."""
        everyone = self.norm(self.embedding.weight)
        asked = everyone[tokens]
        seen = self.look(tokens, self.query(self.query_norm(asked)), everyone)
        z = asked + self.dropout(self.out(seen))
        hidden = functional.gelu(self.mlp.hidden(self.mlp_norm(z)))
        out: Tensor = z + self.mlp.dropout(self.mlp.out(hidden))
        return out


class Fusion(nn.Module):
    """MLP([h_t || h_c]) without the concatenation, so that h_c's half is computed once."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.from_cell = nn.Linear(width, width, bias=False)
        self.from_control = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, cell: Tensor, fused: Tensor) -> Tensor:
        """Join cells with `from_control` of their controls, both (cells, genes, width)."""
        out: Tensor = self.norm(self.out(functional.gelu(self.from_cell(cell) + fused)))
        return out


class GeneModulation(nn.Module):
    """h + gate * (LayerNorm(h) * scale + shift), the three read from the encoded gene."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 3 * width)
        self.norm = nn.LayerNorm(width)

    def read(self, genes: Tensor) -> GeneShift:
        """Fold the LayerNorm's weights into what Z, (genes, width), says."""
        shift, gate, scale = self.linear(functional.silu(genes)).chunk(3, dim=-1)
        offset = gate * torch.addcmul(shift, scale, self.norm.bias)
        return GeneShift(gain=gate * scale * self.norm.weight, offset=offset)

    def forward(self, h: Tensor, shift: GeneShift) -> Tensor:
        """Modulate h, (cells, genes, width)."""
        normed = functional.layer_norm(h, h.shape[-1:], eps=self.norm.eps)
        return torch.addcmul(h + shift.offset, normed, shift.gain)
