"""What every velocity field has: its vocabulary, and how it is called.

Axes: cells (of a step), genes (of a step), units (distinct conditions of a step), width.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from scdfm.model.base_channel import BaseChannel
from scdfm.model.config import ModelConfig
from scdfm.model.gene_encoder import GeneEncoder
from scdfm.model.layers import Modulation
from scdfm.model.unknown import UnknownToken
from scdfm.model.vocabulary import EMPTY, Vocabulary


class VelocityField(nn.Module, ABC):
    """How fast each gene of each cell should change at time t, given control and condition.

    What does not depend on x_t is computed once for a step or a rollout, by `surroundings`.
    """

    config: ModelConfig
    vocabulary: Vocabulary
    gene_encoder: GeneEncoder
    drugs: nn.Embedding | None  # the table of drugs; none: perturbations are genes
    drug_norm: nn.LayerNorm | None
    unknown: UnknownToken | None
    base_channel: BaseChannel | None
    velocity_out: nn.Linear
    recompute: bool = False  # blocks again in the backward pass, instead of keeping activations

    def __init__(self) -> None:
        super().__init__()
        self.unknown = self.base_channel = None  # options that a network may have

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

    @property
    def given(self) -> dict[str, Tensor]:
        """What was known of the training cells before the first step, and is never learnt."""
        kept = self.state_dict().keys()
        return {name: buffer for name, buffer in self.named_buffers() if name in kept}

    def give(self, facts: Mapping[str, Tensor]) -> None:
        """Set what is known before the first step, by the names of `given`."""
        for name, value in facts.items():
            owner, _, own = name.rpartition(".")
            before = self.get_buffer(name)
            self.get_submodule(owner).register_buffer(own, value.to(before, copy=True))

    def encode(self, genes: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Encode the step's genes and conditions.

        Args:
            genes: Gene ids, (genes,).
            conditions: Token ids, (units, slots); EMPTY fills a slot that does not count, and
                UNKNOWN stands for a token without a name.

        Returns:
            Z, (genes, width), and e_p, (units, width): the mean over a condition's tokens, or
            their sum, to which "nothing perturbed" adds nothing.
        """
        if self.unknown is not None:
            conditions = self.unknown.hide(conditions)
        counts = conditions != EMPTY
        if self.config.pooling == "sum":
            counts &= conditions != self.vocabulary.null
        asked = conditions.clamp_min(0).flatten()
        if self.drugs is None or self.drug_norm is None:
            z, tokens = self.gene_encoder(torch.cat([genes, asked])).split([len(genes), len(asked)])
        else:
            z, tokens = self.gene_encoder(genes), self.drug_norm(self.drugs(asked))
        tokens = tokens.unflatten(0, conditions.shape)
        if self.unknown is not None:
            tokens = self.unknown(tokens, conditions)
        pooled = (tokens * counts.unsqueeze(-1)).sum(dim=1)
        if self.config.pooling == "sum":
            return z, pooled
        return z, pooled / counts.sum(dim=1, keepdim=True)

    def compile_velocity(self) -> None:
        """Compile `velocity` for this object; copies of it are not compiled.

        Shapes that change once are dynamic from then on. Random numbers, and so dropout, are the
        same as in the plain code.
        """
        compiled = torch.compile(self.velocity, options={"fallback_random": True})
        self.__dict__["velocity"] = compiled

    def __getstate__(self) -> dict[str, object]:
        """Leave out the compiled function, which would still use this object's weights."""
        state: dict[str, object] = super().__getstate__()  # type: ignore[no-untyped-call]
        return {name: value for name, value in state.items() if name != "velocity"}

    def through(self, block: Callable[[Tensor], Tensor], h: Tensor) -> Tensor:
        """Apply a block to h (cells, genes, width), as a function of h alone."""
        if self.recompute and torch.is_grad_enabled():
            # Dropout draws the same numbers again: the generators' states are kept.
            out: Tensor = checkpoint(block, h, use_reentrant=False)
            return out
        return block(h)

    @abstractmethod
    def surroundings(
        self,
        *,
        control: Tensor,
        genes: Tensor,
        conditions: Tensor,
        unit_of_cell: Tensor,
        base: Tensor | None = None,
    ) -> Any:
        """Compute once what does not depend on x_t or on time.

        Args:
            control: Control cells, (cells, genes).
            genes: Gene ids, (genes,).
            conditions: Token ids of the distinct conditions, (units, slots).
            unit_of_cell: Which condition each cell gets, (cells,).
            base: What the base channel reads of each condition, (units, genes); none without one.
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
        base: Tensor | None = None,
    ) -> Tensor:
        """Velocity of each gene of each cell, (cells, genes), per unit time."""
        around = self.surroundings(
            control=control,
            genes=genes,
            conditions=conditions,
            unit_of_cell=unit_of_cell,
            base=base,
        )
        return self.velocity(x_t, t, around)
