"""The unknown token: stands in training for tokens that are dropped, later for untrained ones.

A token that no training cell had has an embedding that no loss has ever seen. Dropping tokens in
training teaches one embedding for "some perturbation", which takes its place.
"""

import torch
from torch import Tensor, nn

from scdfm.model.vocabulary import UNKNOWN


def all_unknown(conditions: Tensor, *, null: int) -> Tensor:
    """The same numbers of perturbations, none of them known, (units, slots)."""
    return conditions.masked_fill((conditions >= 0) & (conditions != null), UNKNOWN)


class UnknownToken(nn.Module):
    """A learned embedding, and which tokens were trained.

    The latter are facts of the training conditions: given before the first step, and never learnt.
    """

    trained: Tensor  # (tokens,), bool; the null token counts as trained

    def __init__(self, width: int, *, tokens: int, null: int, rate: float) -> None:
        """Make the token.

        Args:
            width: Features of a token.
            tokens: Rows of the table that perturbations use.
            null: The row of "nothing perturbed", which is never dropped.
            rate: Share of tokens dropped in training.
        """
        super().__init__()
        self.null, self.rate = null, rate
        self.embedding = nn.Parameter(torch.zeros(width))
        self.register_buffer("trained", torch.ones(tokens, dtype=torch.bool))

    def hide(self, conditions: Tensor) -> Tensor:
        """Put UNKNOWN for dropped tokens in training, else for untrained ones, (units, slots).

        What is dropped is drawn from torch's global generator, as all dropout is.
        """
        if self.training:
            draw = torch.rand(conditions.shape, device=conditions.device)
            hidden = (conditions >= 0) & (conditions != self.null) & (draw < self.rate)
        else:
            hidden = (conditions >= 0) & ~self.trained[conditions.clamp_min(0)]
        return conditions.masked_fill(hidden, UNKNOWN)

    def forward(self, tokens: Tensor, conditions: Tensor) -> Tensor:
        """Replace the embeddings (units, slots, width) of unknown tokens."""
        return torch.where((conditions == UNKNOWN).unsqueeze(-1), self.embedding, tokens)
