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
Weight = Annotated[float, Field(ge=0, le=1)]

SHAPE = 0.25  # more is better by validation MMD, and worse on the Norman screen's test conditions


class LossConfig(BaseModel, frozen=True, extra="forbid"):
    """What a training step minimises: weights of its parts, times and pairs of its cells."""

    mmd_weight: float = Field(
        default=0.5,
        ge=0,
        description="Weight of the MMD in the loss, 0 or more (the flow has 1); 0 leaves it out",
    )
    mmd_cells: int | None = Field(
        default=None,
        ge=2,
        description="Real cells of each unit for the MMD, drawn apart from the step's targets "
        "(default: the targets)",
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

    @model_validator(mode="after")
    def _cells_of_an_mmd(self) -> Self:
        if self.mmd_cells is not None and self.mmd_weight == 0:
            raise ValueError(
                f"mmd_cells are for the MMD, which mmd_weight 0 leaves out, got {self.mmd_cells}; "
                "remove mmd_cells or raise mmd_weight"
            )
        return self


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
    accumulate: PositiveInt = Field(
        default=1,
        description="Batches of each worker that a step takes, one after the other; their losses "
        "are averaged, so W workers with N batches each step like 1 worker with W x N",
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
    keep: PositiveInt = Field(
        default=3, description="Newest checkpoints that are kept, beside the best model's"
    )

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


class MeanConfig(BaseModel, frozen=True, extra="forbid"):
    """Where the mean of a condition's cells comes from; `mean: shrunken` means {base: shrunken}.

    A base predicts mean changes from those that were measured (docs/metrics.md). The flow's own
    mean change counts beside it as far as validation says, and gives cells their shape.
    """

    base: Literal["none", "shrunken", "additive"] = Field(
        default="none",
        description="Base of the mean change, fitted at the end: shrunken or plain effects of "
        "perturbations; none: the mean is the flow's",
    )
    flow: Literal["auto"] | Weight = Field(
        default="auto",
        description="Weight of the flow over the base in the mean, 0 to 1; auto: what is best on "
        "the validation units",
    )
    shape: Literal["auto"] | Weight = Field(
        default="auto",
        description="Share of the flow in how a cell differs from the mean, 0 to 1; auto: 0.25, "
        "from noise 1",
    )
    cells: PositiveInt = Field(
        default=128,
        description="Start cells of each condition and context whose mean is set, at most",
    )

    @model_validator(mode="before")
    @classmethod
    def _spelled_out(cls, given: object) -> object:
        return {"base": given} if isinstance(given, str) else given

    @field_validator("flow", "shape", mode="before")
    @classmethod
    def _auto_or_a_share(cls, given: object) -> object:
        share = isinstance(given, int | float) and 0 <= given <= 1
        if given != "auto" and (isinstance(given, bool) or not share):
            raise ValueError(f"expected auto or a number from 0 to 1, got {given!r}; correct it")
        return given

    @model_validator(mode="after")
    def _a_base_to_combine_with(self) -> Self:
        if self.base == "none" and self != MeanConfig.model_construct():
            raise ValueError(
                "flow, shape and cells say how a base and the flow are combined, and base is none; "
                "set base to shrunken or remove them"
            )
        return self

    @property
    def combined(self) -> bool:
        """Whether there is a base."""
        return self.base != "none"


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
    mean: MeanConfig = Field(
        default=MeanConfig(), description="Where the mean of a condition's cells comes from"
    )
    guidance: PositiveFloat = Field(
        default=1.0,
        description="Weight of the condition's velocity over that of unknown tokens; 1: its own",
    )

    def settled(self, source: Source) -> Self:
        """The same with a spacing that is not "auto".

        Late steps from noise, but even ones for the paper's Euler and the release's RK4. From
        control cells late steps measured worse.
        """
        if self.spacing != "auto":
            return self
        late = SOURCES[source].late and self.solver in ("midpoint", "heun")
        return self.model_copy(update={"spacing": "late" if late else "even"})

    def shape(self, source: Source) -> float:
        """The flow's share in the shape of a condition's cells.

        A cell that does not come from its control cell cannot be mixed with it.
        """
        if self.mean.shape != "auto":
            return self.mean.shape
        return SHAPE if SOURCES[source].at_rest else 1.0

    def __str__(self) -> str:
        lie = "" if self.spacing == "auto" else f"{self.spacing} "
        guided = "" if self.guidance == 1 else f", guidance {self.guidance:g}"
        return f"{self.solver}, {self.steps} {lie}steps{guided}"
