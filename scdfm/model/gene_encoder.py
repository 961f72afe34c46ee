"""E_g: encodes a gene through its neighbours in the co-expression graph.

The result does not depend on cells, so it is computed once for a training step or a rollout.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from scdfm.gene_graph.graph import GeneGraph
from scdfm.model.attention import join_heads, split_heads
from scdfm.model.kernels.neighbourhood import Edges, neighbour_attention
from scdfm.model.layers import FeedForward

# Up to so many pairs of tokens a map over all of them is faster on CPU than one over the edges:
# 128 of 240 tokens 0.8 and 1.2 ms, 500 of 1,000 31 and 11 ms, 1,000 of 5,033 1,050 and 155 ms
# (forward and backward with dropout). Other devices are fast at large maps.
DENSE_UP_TO = 100_000


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

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode token ids (tokens,) as (tokens, width)."""
        everyone = self.norm(self.embedding.weight)
        asked = self.dropout(everyone[tokens])
        z: Tensor = asked + self.out(self.look(tokens, self.query(asked), everyone))
        out: Tensor = z + self.mlp(self.mlp_norm(z))
        return out

    def look(self, tokens: Tensor, queries: Tensor, everyone: Tensor) -> Tensor:
        """Attend from some tokens to their neighbours, (tokens, width).

        Args:
            tokens: Their ids, (tokens,).
            queries: (tokens, width).
            everyone: Embeddings of the whole vocabulary, (vocabulary, width).
        """
        keys, values = self.key_value(everyone).chunk(2, dim=-1)
        rate = self.rate if self.training else 0.0
        if self._ragged(tokens, queries):
            edges = Edges.of(tokens, indptr=self.indptr, indices=self.indices)
            seen = neighbour_attention(
                queries.view(len(queries), self.heads, -1),
                keys.reshape(len(keys), self.heads, -1),
                values.reshape(len(values), self.heads, -1),
                edges=edges,
                dropout=rate,
            )
            return seen.flatten(1)
        heads = functional.scaled_dot_product_attention(
            split_heads(queries.unsqueeze(0), self.heads),
            split_heads(keys.unsqueeze(0), self.heads),
            split_heads(values.unsqueeze(0), self.heads),
            attn_mask=None if self.everyone else self.neighbours(tokens)[None, None],
            dropout_p=rate,
        )
        return join_heads(heads)[0]

    def _ragged(self, tokens: Tensor, queries: Tensor) -> bool:
        if self.everyone or queries.device.type != "cpu" or queries.dtype.itemsize < 4:
            return False
        return len(tokens) * self.embedding.num_embeddings > DENSE_UP_TO

    def neighbours(self, tokens: Tensor) -> Tensor:
        """Which tokens may be attended to: bool (tokens, vocabulary), True for neighbours."""
        edges = Edges.of(tokens, indptr=self.indptr, indices=self.indices)
        allowed = torch.zeros(
            len(tokens), self.embedding.num_embeddings, dtype=torch.bool, device=tokens.device
        )
        allowed[edges.row, edges.column] = True
        return allowed
