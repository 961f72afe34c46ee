"""The state of training: all that a resumed run needs, as tensors and plain values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Required, Self, TypeAlias, TypedDict

from torch import Tensor

Tensors: TypeAlias = dict[str, Tensor]  # by name

# Torch's own form: the moments of each weight under "state", settings under "param_groups".
OptimiserState: TypeAlias = dict[str, Any]


class KeptProgress(TypedDict, total=False):
    """Where training stood: progress.json. Older versions wrote less."""

    step: Required[int]
    next_batch: int
    best: float | None
    best_shape: float | None
    best_step: int
    rounds: int
    rounds_without_gain: int
    judged: int
    unlogged: list[list[float]]  # losses of steps that no line has told of
    norms: list[float]  # of their gradients
    workers: int  # how it was computed
    threads: int


@dataclass
class Progress:
    """Where training stands; part of a checkpoint."""

    step: int = 0
    next_batch: int = 0  # first batch nobody has trained on
    best: float | None = None
    best_shape: float | None = None  # of the same round, as `Trainer.judge` takes it
    best_step: int = 0
    rounds: int = 0  # validation rounds judged
    rounds_without_gain: int = 0
    judged: int = -1  # step of the last round

    def kept(self) -> KeptProgress:
        """The same in plain values."""
        return {
            "step": self.step,
            "next_batch": self.next_batch,
            "best": self.best,
            "best_shape": self.best_shape,
            "best_step": self.best_step,
            "rounds": self.rounds,
            "rounds_without_gain": self.rounds_without_gain,
            "judged": self.judged,
        }

    @classmethod
    def of(cls, kept: KeptProgress) -> Self:
        """Where training stood."""
        return cls(
            step=kept["step"],
            next_batch=kept.get("next_batch", 0),
            best=kept.get("best"),
            best_shape=kept.get("best_shape"),
            best_step=kept.get("best_step", 0),
            rounds=kept.get("rounds", 0),
            rounds_without_gain=kept.get("rounds_without_gain", 0),
            # An older version kept its state after rounds only.
            judged=kept.get("judged", kept["step"]),
        )


class TrainingState(TypedDict):
    """What `Trainer.state` gives and `Trainer.restore` takes."""

    model: Tensors
    averaged: Tensors | None  # None: the run has no such means
    rounds: Tensors | None
    optimiser: OptimiserState
    progress: KeptProgress


def refuse_damaged(state: TrainingState) -> None:
    """Make sure that a state can go on.

    Raises:
        ValueError: A weight or a moment of the optimiser is not finite.
    """
    moments = {
        f"{moment} of weight {weight}": tensor
        for weight, moments in state["optimiser"]["state"].items()
        for moment, tensor in moments.items()
    }
    for part in (state["model"], state["averaged"] or {}, state["rounds"] or {}, moments):
        name = first_non_finite(part)
        if name is not None:
            raise ValueError(
                f"the training state of step {state['progress']['step']} cannot go on: {name} is "
                "not finite; delete the run's checkpoints to begin again"
            )


def first_non_finite(tensors: Mapping[str, Tensor]) -> str | None:
    """Name of the first tensor with a NaN or an infinity; None if all are finite."""
    for name, tensor in tensors.items():
        if not tensor.numel():  # a table of no rows, which has no extremes
            continue
        # The extremes show both, and need no mask of the tensor's size.
        low, high = tensor.detach().aminmax()
        if not (math.isfinite(low.item()) and math.isfinite(high.item())):
            return name
    return None
