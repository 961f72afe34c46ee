"""Options of paths, losses, training and sampling. Loads no torch."""

import math
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from scdfm.flow.losses import LOSSES
from scdfm.flow.sources import SOURCES

Source = Annotated[str, SOURCES]  # noise: N(0, 1); control: c_x; other_control: another one
Solver = Literal["euler", "midpoint", "heun", "rk4"]
Spacing = Literal["even", "late"]
Times = Literal["uniform", "logit_normal"]
Pairs = Literal["drawn", "optimal"]


class LossConfig(BaseModel, frozen=True, extra="forbid"):
    """What a training step minimises: weights of its parts, times and pairs of its cells."""

    mmd_weight: float = Field(
        default=0.5,
        ge=0,
        description="Weight of the MMD in the loss, 0 or more (the flow has 1); 0 leaves it out",
    )
    parts: dict[Annotated[str, LOSSES], PositiveFloat] = Field(
        default={}, description="Weights of further loss parts, by name"
    )
    times: Times = Field(
        default="uniform",
        description="Times of a step's cells: uniform, or more of the middle (logit_normal)",
    )
    pairs: Pairs = Field(
        default="drawn",
        description="Start of each target in a unit: as drawn, or by optimal transport (not noise)",
    )

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each part besides the flow's own."""
        return {"mmd": self.mmd_weight, **self.parts}

    @field_validator("parts")
    @classmethod
    def _one_weight_each(cls, parts: dict[str, float]) -> dict[str, float]:
        if "mmd" in parts:
            raise ValueError("the weight of mmd is loss.mmd_weight; set it there")
        return parts


class TrainingConfig(BaseModel, frozen=True, extra="forbid"):
    """How long and how fast to learn, and when to stop."""

    steps: PositiveInt = Field(default=100_000, description="Training steps in all")
    learning_rate: PositiveFloat = Field(
        default=5e-5, description="Learning rate at its highest, after the warm-up"
    )
    final_learning_rate: float = Field(
        default=1e-6, ge=0, description="Learning rate of the last step, reached along a cosine"
    )
    warmup: NonNegativeInt = Field(
        default=0, description="Steps over which the rate rises from zero"
    )
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        description="Decay of weights per unit of learning rate, apart from the gradient (AdamW)",
    )
    clip_norm: PositiveFloat | None = Field(
        default=None,
        description="Largest 2-norm of all gradients together (default: no clipping)",
    )
    checkpoint_activations: bool = Field(
        default=False, description="Less memory, more time: blocks run again in the backward pass"
    )
    ema: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="Decay per step of averaged weights, which the model then has (default: none)",
    )
    average_rounds: PositiveInt = Field(
        default=1,
        description="Validation rounds, the last ones, whose mean weights are judged and kept; 1: "
        "each round's own",
    )
    validate_every: PositiveInt = Field(
        default=2_000, description="Steps between validation rounds"
    )
    patience: PositiveInt | None = Field(
        default=None,
        description="Validation rounds without a better score before it stops (default: no limit)",
    )
    log_every: PositiveInt = Field(default=50, description="Steps between log lines")

    @model_validator(mode="after")
    def warmup_is_shorter_than_training(self) -> Self:
        if self.warmup >= self.steps:
            raise ValueError(
                f"warmup must be shorter than training, got warmup={self.warmup}, "
                f"steps={self.steps}; lower training.warmup (a preset may set it) or raise "
                "training.steps"
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

    solver: Solver = Field(default="midpoint", description="Solver of the flow from time 0 to 1")
    steps: PositiveInt = Field(default=10, description="Steps of the solver")
    spacing: Literal["auto", "even", "late"] = Field(
        default="auto",
        description="Steps in time: even, late (denser near 1), or auto by solver and source",
    )
    clamp: bool = Field(default=True, description="Raise negative expression to 0")
    batch: PositiveInt = Field(default=64, description="Cells integrated together")

    def settled(self, source: Source) -> Self:
        """The same without "auto".

        Late steps from noise, but even ones for the paper's Euler and the release's RK4. From
        control cells late steps measured worse.
        """
        if self.spacing != "auto":
            return self
        late = SOURCES[source].late and self.solver in ("midpoint", "heun")
        return self.model_copy(update={"spacing": "late" if late else "even"})

    def __str__(self) -> str:
        lie = "" if self.spacing == "auto" else f"{self.spacing} "
        return f"{self.solver}, {self.steps} {lie}steps"
