"""What every velocity field has: its size, its vocabulary, and how it is called.

Axes: cells (of a step), genes (of a step), units (distinct conditions of a step), width.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Literal, Self

import torch
from pydantic import BaseModel, Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from scdfm.model.gene_encoder import GeneEncoder
from scdfm.model.layers import Modulation
from scdfm.model.vocabulary import Vocabulary

HEAD_WIDTH = 64  # features per head when heads are not given
RELEASE_ENCODER_HEADS = 8  # whatever the blocks have


class ModelConfig(BaseModel, frozen=True, extra="forbid"):
    """Size and form of the velocity field."""

    variant: Literal["paper", "release"] = "paper"  # release: as the authors' code has it
    width: PositiveInt = 512  # features per gene token
    layers: PositiveInt = 4
    heads: PositiveInt | None = None  # divides width; none: about one for every 64 features
    dropout: float = Field(default=0.1, ge=0, lt=1)
    attention: Literal["differential", "standard"] = "differential"
    mlp: bool = True  # an MLP after each attention; False gives eqs. 11-12 bare

    @property
    def head_count(self) -> int:
        """Heads in use: when not given, the most that divide width with at least 64 features each."""
        most = max(1, self.width // HEAD_WIDTH)
        return self.heads or next(h for h in range(most, 0, -1) if self.width % h == 0)

    @model_validator(mode="after")
    def release_has_one_form(self) -> Self:
        if self.variant == "release" and (self.attention != "differential" or not self.mlp):
            raise ValueError(
                "variant release has differential attention followed by an MLP, got "
                f"attention={self.attention}, mlp={str(self.mlp).lower()}; use variant paper"
            )
        if self.variant == "release" and self.width % RELEASE_ENCODER_HEADS:
            raise ValueError(
                f"the gene encoder of variant release has {RELEASE_ENCODER_HEADS} heads, which "
                f"must divide width, got width={self.width}"
            )
        return self

    @model_validator(mode="after")
    def heads_divide_width(self) -> Self:
        if self.width % self.head_count:
            raise ValueError(
                f"heads must divide width, got width={self.width}, heads={self.head_count}"
            )
        return self


class VelocityField(nn.Module, ABC):
    """How fast each gene of each cell should change at time t, given control and condition.

    What no x_t changes is computed once, by `surroundings`, for a training step or a rollout.
    """

    config: ModelConfig
    vocabulary: Vocabulary
    gene_encoder: GeneEncoder
    drugs: nn.Embedding | None  # the table of drugs; none: perturbations are genes
    drug_norm: nn.LayerNorm | None
    velocity_out: nn.Linear
    recompute: bool = False  # blocks again in the backward pass, instead of keeping activations

    def _initialise(self) -> None:
        """Draw weights; close the gates, so that an attention starts by adding nothing."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in self.modules():
            if isinstance(module, Modulation):
                module.zero()

    def start_at_rest(self) -> None:
        """Make the untrained field zero everywhere: from the control source, "no change"."""
        nn.init.zeros_(self.velocity_out.weight)
        nn.init.zeros_(self.velocity_out.bias)

    def encode(self, genes: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Encode the step's genes and conditions.

        Args:
            genes: Gene ids, (genes,).
            conditions: Token ids, (units, slots); -1 fills a slot that does not count.

        Returns:
            Z, (genes, width), and e_p, (units, width): the mean over a condition's tokens.
        """
        counts = conditions >= 0
        asked = conditions.clamp_min(0).flatten()
        if self.drugs is None or self.drug_norm is None:
            z, tokens = self.gene_encoder(torch.cat([genes, asked])).split([len(genes), len(asked)])
        else:
            z, tokens = self.gene_encoder(genes), self.drug_norm(self.drugs(asked))
        tokens = tokens.unflatten(0, conditions.shape) * counts.unsqueeze(-1)
        return z, tokens.sum(dim=1) / counts.sum(dim=1, keepdim=True)

    def compile_velocity(self) -> None:
        """Compile `velocity` for this object; copies of it are not compiled.

        Shapes that change once are dynamic from then on. Random numbers are those of the plain
        code, so that dropout, too, is equal.
        """
        compiled = torch.compile(self.velocity, options={"fallback_random": True})
        self.__dict__["velocity"] = compiled

    def __getstate__(self) -> dict[str, Any]:
        """Without the compiled function, which would go on using this object's weights."""
        state: dict[str, Any] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {name: value for name, value in state.items() if name != "velocity"}

    def through(self, block: Callable[[Tensor], Tensor], h: Tensor) -> Tensor:
        """What a block makes of h (cells, genes, width), by a function of h alone."""
        if self.recompute and torch.is_grad_enabled():
            # Dropout draws the same numbers again: the generators' states are kept.
            out: Tensor = checkpoint(block, h, use_reentrant=False)
            return out
        return block(h)

    @abstractmethod
    def surroundings(
        self, *, control: Tensor, genes: Tensor, conditions: Tensor, unit_of_cell: Tensor
    ) -> Any:
        """Compute once what no x_t and no time changes.

        Args:
            control: Control cells, (cells, genes).
            genes: Gene ids, (genes,).
            conditions: Token ids of the distinct conditions, (units, slots).
            unit_of_cell: Which condition each cell gets, (cells,).
        """

    @abstractmethod
    def velocity(self, x_t: Tensor, t: Tensor, surroundings: Any) -> Tensor:
        """Velocity at x_t (cells, genes) and t (cells,), shape (cells, genes)."""

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        *,
        control: Tensor,
        genes: Tensor,
        conditions: Tensor,
        unit_of_cell: Tensor,
    ) -> Tensor:
        """Velocity of each gene of each cell, (cells, genes), per unit time."""
        around = self.surroundings(
            control=control, genes=genes, conditions=conditions, unit_of_cell=unit_of_cell
        )
        return self.velocity(x_t, t, around)
