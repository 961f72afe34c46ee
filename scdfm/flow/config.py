"""What a user may ask of paths, losses, training and sampling. Loads no torch."""

import math
from typing import Literal, Self

from pydantic import BaseModel, Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

Source = Literal["noise", "control", "other_control"]  # N(0, 1), c_x, another control cell
Solver = Literal["euler", "midpoint", "heun", "rk4"]
Spacing = Literal["even", "late"]


class LossConfig(BaseModel, frozen=True, extra="forbid"):
    """Weights of the loss parts."""

    mmd_weight: float = Field(default=0.5, ge=0)  # lambda; 0 leaves the MMD out


class TrainingConfig(BaseModel, frozen=True, extra="forbid"):
    """How long and how fast to learn, and when to stop."""

    steps: PositiveInt = 100_000
    learning_rate: PositiveFloat = 5e-5
    final_learning_rate: float = Field(default=1e-6, ge=0)
    warmup: NonNegativeInt = 0  # steps over which the rate rises from zero
    weight_decay: float = Field(default=0.0, ge=0)  # decoupled from the gradient (AdamW)
    clip_norm: PositiveFloat | None = None  # largest 2-norm of all gradients together
    checkpoint_activations: bool = False  # less memory: run blocks again in the backward pass
    ema: float | None = Field(
        default=None, gt=0, lt=1
    )  # decay of averaged weights, used for sampling
    validate_every: PositiveInt = 2_000  # steps between validation rounds
    patience: PositiveInt | None = None  # rounds without a better score before stopping
    log_every: PositiveInt = 50  # steps between log lines

    @model_validator(mode="after")
    def warmup_is_shorter_than_training(self) -> Self:
        if self.warmup >= self.steps:
            raise ValueError(
                f"warmup must be shorter than training, got warmup={self.warmup}, "
                f"steps={self.steps}"
            )
        return self

    def rate(self, step: int) -> float:
        """Learning rate of a step: linear warm-up, then a cosine to the final rate."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        swing = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.final_learning_rate + swing * (self.learning_rate - self.final_learning_rate)


class SamplingConfig(BaseModel, frozen=True, extra="forbid"):
    """How cells are generated."""

    solver: Solver = "midpoint"
    steps: PositiveInt = 10
    spacing: Literal["auto", "even", "late"] = "auto"  # of the steps in time
    clamp: bool = True  # expression cannot be negative
    batch: PositiveInt = 64  # cells integrated together

    def settled(self, source: Source) -> Self:
        """The same without "auto".

        Late steps from noise, but even ones for the paper's Euler and the release's RK4. From
        control cells late steps measured worse.
        """
        if self.spacing != "auto":
            return self
        late = source == "noise" and self.solver in ("midpoint", "heun")
        return self.model_copy(update={"spacing": "late" if late else "even"})

    def __str__(self) -> str:
        lie = "" if self.spacing == "auto" else f"{self.spacing} "
        return f"{self.solver}, {self.steps} {lie}steps"
