"""E_g: what a gene is, as seen through its neighbours in the co-expression graph.

The result depends on no cell, so it is computed once for a training step and once for a rollout.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from scdfm.attention import join_heads, split_heads
from scdfm.gene_graph import GeneGraph
from scdfm.layers import FeedForward


class GeneEncoder(nn.Module):
    """Identity embedding, LayerNorm, one cross-attention block over the graph's neighbours.

    Queries are the tokens asked for; keys and values come from the full vocabulary, so that a
    gene sees all its neighbours whichever genes the step drew.

    Source: scDFM, section 3.3 and Algorithm 2 (which restricts keys to the step's genes; the
    release does not, and it is followed).
    """

    indptr: Tensor
    indices: Tensor

    def __init__(
        self, tokens: int, width: int, *, heads: int, dropout: float, graph: GeneGraph
    ) -> None:
        """Build the encoder.

        Args:
            tokens: Rows of the table. Rows beyond the graph's (the null token, perturbed genes
                that are not measured) have themselves as only neighbour.
            width: Features of a token.
            heads: Attention heads; divides width.
            dropout: Of embeddings, attention maps and MLP.
            graph: Neighbours of the first `graph.tokens` tokens.
        """
        super().__init__()
        self.heads, self.rate = heads, dropout
        self.embedding = nn.Embedding(tokens, width)
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = FeedForward(width, dropout=dropout)
        self.dropout = nn.Dropout(dropout)
        self.everyone = graph.complete  # every token sees every token: no mask, no list
        alone = torch.arange(tokens if self.everyone else graph.tokens, tokens)
        if self.everyone:
            graph = GeneGraph(indptr=np.zeros(1, np.int64), indices=np.zeros(0, np.int64))
        indptr, indices = torch.from_numpy(graph.indptr), torch.from_numpy(graph.indices)
        ends = indptr[-1] + 1 + torch.arange(len(alone))
        self.register_buffer("indptr", torch.cat([indptr, ends]), persistent=False)
        self.register_buffer("indices", torch.cat([indices, alone]), persistent=False)

    def neighbours(self, tokens: Tensor) -> Tensor:
        """Who may be looked at: bool (tokens, vocabulary), True for neighbours."""
        starts = self.indptr[tokens]
        counts = self.indptr[tokens + 1] - starts
        row = torch.repeat_interleave(torch.arange(len(tokens), device=tokens.device), counts)
        first = torch.cumsum(counts, dim=0) - counts
        within = torch.arange(len(row), device=tokens.device) - first[row]
        allowed = torch.zeros(
            len(tokens), self.embedding.num_embeddings, dtype=torch.bool, device=tokens.device
        )
        allowed[row, self.indices[starts[row] + within]] = True
        return allowed

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode token ids (tokens,) as (tokens, width)."""
        everyone = self.norm(self.embedding.weight)
        asked = self.dropout(everyone[tokens])
        keys, values = self.key_value(everyone).unsqueeze(0).chunk(2, dim=-1)
        heads = functional.scaled_dot_product_attention(
            split_heads(self.query(asked).unsqueeze(0), self.heads),
            split_heads(keys, self.heads),
            split_heads(values, self.heads),
            attn_mask=None if self.everyone else self.neighbours(tokens)[None, None],
            dropout_p=self.rate if self.training else 0.0,
        )
        z: Tensor = asked + self.out(join_heads(heads)[0])
        out: Tensor = z + self.mlp(self.mlp_norm(z))
        return out
