"""The rules of a sweep: how trials are judged, proposed and stopped, and what they may cost."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from scdfm.metrics.registry import METRICS, RoundMetric


class ObjectiveConfig(BaseModel, frozen=True, extra="forbid"):
    """What a trial is judged by: a validation metric, averaged over the splits."""

    metric: RoundMetric = Field(
        default="mse", description="Validation metric that trials are judged by"
    )
    mode: Literal["min", "max"] | None = Field(
        default=None, description="Which way is better; follows from the metric and may be left out"
    )
    aggregate: Literal["mean"] = Field(
        default="mean", description="How the scores of the splits become one"
    )

    @property
    def direction(self) -> Literal["min", "max"]:
        """Which way the metric is better."""
        return METRICS[self.metric].mode

    @model_validator(mode="after")
    def _mode_is_the_metrics_own(self) -> Self:
        if self.mode not in (None, self.direction):
            raise ValueError(
                f"{self.metric} is better when {'higher' if self.direction == 'max' else 'lower'}, "
                f"got mode {self.mode!r}; use {self.direction!r} or leave it out"
            )
        return self


class SearchConfig(BaseModel, frozen=True, extra="forbid", serialize_by_alias=True):
    """How configurations are proposed."""

    sampler: Literal["tpe", "random", "grid", "qmc", "cmaes"] = Field(
        default="tpe",
        description="Tree-structured Parzen estimator, random, every point of a grid, "
        "quasi-random (Sobol), or CMA-ES",
    )
    seed: NonNegativeInt = Field(default=0, description="Decides what is proposed")
    startup: NonNegativeInt = Field(
        default=10, description="tpe, cmaes: random trials before it takes over"
    )
    baseline_first: bool = Field(default=True, description="The base itself is the first trial")
    from_: tuple[Path, ...] = Field(
        default=(),
        alias="from",
        description="tpe, cmaes: directories of other sweeps, whose finished trials are known to "
        "the search from the beginning",
    )

    @model_validator(mode="after")
    def _only_what_the_sampler_reads(self) -> Self:
        if self.sampler not in ("tpe", "cmaes"):
            _refuse_unread(self, ("startup",), reader="sampler tpe or cmaes", got=self.sampler)
            if self.from_:
                raise ValueError(
                    f"from belongs to sampler tpe or cmaes, and {self.sampler} learns from "
                    "nothing; remove it"
                )
        return self


class PruneConfig(BaseModel, frozen=True, extra="forbid"):
    """When a trial is stopped early. Rounds are validation rounds, counted over all splits."""

    scheduler: Literal["asha", "median", "none"] = Field(
        default="asha",
        description="Stop poor trials early: by successive halving (asha), those worse than the "
        "median of all others (median), or none",
    )
    grace: PositiveInt = Field(
        default=1,
        description="asha, median: validation rounds that every trial gets, over all splits",
    )
    factor: float = Field(
        default=2, gt=1, description="asha: at each rung one trial in this many goes on; above 1"
    )
    least: PositiveInt = Field(
        default=4, description="median: other trials that must have reached a round to compare"
    )

    @model_validator(mode="after")
    def _only_what_the_scheduler_reads(self) -> Self:
        got = self.scheduler
        if got == "none":
            _refuse_unread(self, ("grace",), reader="scheduler asha or median", got=got)
        if got != "asha":
            _refuse_unread(self, ("factor",), reader="scheduler asha", got=got)
        if got != "median":
            _refuse_unread(self, ("least",), reader="scheduler median", got=got)
        return self


def _refuse_unread(config: BaseModel, names: tuple[str, ...], *, reader: str, got: str) -> None:
    """Refuse settings that would have no effect; a default may stand, as in a file spelled out."""
    for name in names:
        value, usual = getattr(config, name), type(config).model_fields[name].default
        if value != usual:
            raise ValueError(
                f"{name} belongs to {reader}, got {value:g} with {got}, which would ignore it; "
                f"remove it or set it to {usual:g}"
            )


class BudgetConfig(BaseModel, frozen=True, extra="forbid"):
    """What the sweep may cost, over all its restarts."""

    trials: PositiveInt = Field(default=20, description="Trials in all")
    hours: PositiveFloat | None = Field(
        default=None, description="Hours in all, over all restarts (default: no limit)"
    )
    device_hours: PositiveFloat | None = Field(
        default=None,
        description="Hours of all trials together, times the GPUs of a trial, or its cores where "
        "it has no GPU (default: no limit)",
    )
    no_gain: PositiveInt | None = Field(
        default=None,
        description="Stop once so many trials, begun after the best one, found nothing better "
        "(default: never)",
    )
    concurrent: PositiveInt | Literal["auto"] = Field(
        default="auto", description="Trials at once; auto: all that fit"
    )

    @field_validator("concurrent", mode="before")
    @classmethod
    def _number_or_auto(cls, given: Any) -> Any:
        if given != "auto" and not (type(given) is int and given > 0):
            raise ValueError("concurrent must be auto or a whole number above 0")
        return given


class LimitsConfig(BaseModel, frozen=True, extra="forbid"):
    """What a configuration may need; the search is told of those that need more, and none is run.

    Weights are counted. Memory and time are measured by a few steps, where the trial would run.
    """

    parameters: PositiveInt | None = Field(
        default=None, description="Weights of the network (default: no limit)"
    )
    memory: PositiveFloat | None = Field(
        default=None,
        description="GiB of a trial: of its GPU, or of its process (default: no limit)",
    )
    step_seconds: PositiveFloat | None = Field(
        default=None, description="Seconds of a training step (default: no limit)"
    )

    @property
    def measured(self) -> bool:
        """Whether steps must be taken to know."""
        return self.memory is not None or self.step_seconds is not None


class ConfirmConfig(BaseModel, frozen=True, extra="forbid"):
    """More seeds before a trial is called best; beside the budget, which is the search's."""

    top: PositiveInt = Field(default=3, description="Best trials to train again")
    seeds: int = Field(
        default=3, ge=2, description="Seeds of each of them and of the base, the trial's included"
    )


class ResourcesConfig(BaseModel, frozen=True, extra="forbid"):
    """Cores and GPUs of one trial."""

    cpu: PositiveInt = Field(default=1, description="Cores of a trial")
    gpu: NonNegativeFloat = Field(
        default=0, description="GPUs of a trial; a fraction shares one between trials"
    )
    workers: NonNegativeInt = Field(
        default=0, description="Workers inside a trial; 0 and 1 mean that it trains in one process"
    )

    @model_validator(mode="after")
    def _trains_in_process(self) -> Self:
        # Ray Train inside Ray Tune leaks placement groups when a trial is pruned, then hangs.
        if self.workers > 1:
            raise ValueError(
                f"a trial trains in one process, got workers={self.workers}; set workers to 0 and "
                "raise budget.concurrent, then train the best with `scdfm train --workers`"
            )
        if self.gpu > 1 and not self.gpu.is_integer():
            raise ValueError(f"gpu must be a fraction or a whole number, got {self.gpu:g}")
        return self


class FailureConfig(BaseModel, frozen=True, extra="forbid"):
    """What happens when trials fail."""

    retries: NonNegativeInt = Field(
        default=1, description="Times that a failed trial is started again, from where it stopped"
    )
    max_failed_fraction: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="Share of budget.trials that may fail, 0 to 1; more stop the sweep",
    )
