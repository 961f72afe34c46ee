"""The rules of a sweep: how trials are judged, proposed and stopped, and what they may cost."""

from pathlib import Path
from typing import Any, Literal, Self
from urllib.parse import urlsplit

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

JOURNAL = "journal"  # of `study.storage`
_MOST_METRICS = 4  # of an objective; with more nearly every trial is on the front


class MetricConfig(BaseModel, frozen=True, extra="forbid"):
    """A validation metric, averaged over the splits."""

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

    @property
    def sign(self) -> int:
        """1 or -1: by which a score is multiplied so that less is better."""
        return 1 if self.direction == "min" else -1

    @model_validator(mode="after")
    def _mode_is_the_metrics_own(self) -> Self:
        if self.mode not in (None, self.direction):
            raise ValueError(
                f"{self.metric} is better when {'higher' if self.direction == 'max' else 'lower'}, "
                f"got mode {self.mode!r}; use {self.direction!r} or leave it out"
            )
        return self


class ObjectiveConfig(MetricConfig, frozen=True, extra="forbid"):
    """What a trial is judged by: a validation metric, or several, written as a list.

    Of several the first decides what is pruned, confirmed and kept as best.
    """

    further: tuple[MetricConfig, ...] = Field(
        default=(),
        max_length=_MOST_METRICS - 1,
        description="More metrics, for a front of trade-offs; what follows in a list",
    )

    @property
    def metrics(self) -> tuple[MetricConfig, ...]:
        """All of them, the first one first."""
        return (self, *self.further)

    @property
    def names(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(one.metric for one in self.metrics)

    @model_validator(mode="before")
    @classmethod
    def _from_a_list(cls, given: Any) -> Any:
        if not isinstance(given, list | tuple):
            return given
        if not given or not all(isinstance(one, dict) for one in given):
            raise ValueError("expected metrics, each as {metric: NAME}; correct it")
        first, *rest = given
        if rest and "further" in first:
            raise ValueError("expected a list without `further`, got both; leave further out")
        return {**first, "further": rest} if rest else first

    @model_validator(mode="after")
    def _metrics_differ(self) -> Self:
        twice = next((name for name in self.names if self.names.count(name) > 1), None)
        if twice:
            raise ValueError(f"expected metrics that differ, got {twice} twice; remove one")
        return self


class SearchConfig(BaseModel, frozen=True, extra="forbid", serialize_by_alias=True):
    """How configurations are proposed."""

    sampler: Literal["tpe", "random", "grid", "qmc", "cmaes", "nsga2"] = Field(
        default="tpe",
        description="Tree-structured Parzen estimator, random, every point of a grid, "
        "quasi-random (Sobol), CMA-ES, or for several metrics NSGA-II",
    )
    seed: NonNegativeInt = Field(default=0, description="Decides what is proposed")
    startup: NonNegativeInt = Field(
        default=10,
        description="tpe, cmaes: random trials before it takes over; nsga2: trials of a generation",
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
        if self.sampler not in ("tpe", "cmaes", "nsga2"):
            reader = "sampler tpe, cmaes or nsga2"
            _refuse_unread(self, ("startup",), reader=reader, got=self.sampler)
        if self.from_ and self.sampler not in ("tpe", "cmaes"):
            raise ValueError(
                f"from belongs to sampler tpe or cmaes, and {self.sampler} learns from "
                f"{'its own generations' if self.sampler == 'nsga2' else 'nothing'}; remove it"
            )
        if self.sampler == "nsga2" and self.startup < 2:
            raise ValueError(
                f"expected a generation of 2 trials or more for nsga2, got startup "
                f"{self.startup}; raise it"
            )
        return self


class StudyConfig(BaseModel, frozen=True, extra="forbid"):
    """Where Optuna's study is kept; it decides no value and may change between sessions."""

    storage: str | None = Field(
        default=None,
        description="postgresql://USER@HOST/DATABASE, its password in PGPASSWORD or ~/.pgpass; or "
        "journal: a file in the sweep's directory that may be on a shared disk (default: SQLite "
        "there, for a local disk)",
    )

    @model_validator(mode="after")
    def _one_that_is_safe(self) -> Self:
        # A model's validator: the message of a field's would repeat the address, password and all.
        if self.storage is None or self.storage == JOURNAL:
            return self
        try:
            address = urlsplit(self.storage)
            known = address.scheme == "postgresql" and bool(address.path.strip("/"))
            secret = address.password is not None or "password" in address.query
        except ValueError:
            known = secret = False
        if secret:
            raise ValueError(
                "storage must not hold a password, which would be written to files; put it into "
                "the environment variable PGPASSWORD or into ~/.pgpass"
            )
        if not known:
            raise ValueError(
                "storage must be postgresql://USER@HOST/DATABASE or journal, or be left out for "
                "SQLite in the sweep's directory; correct it"
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
        return _number_or_auto("concurrent", given)


def _number_or_auto(name: str, given: Any) -> Any:
    if given != "auto" and not (type(given) is int and given > 0):
        raise ValueError(f"{name} must be auto or a whole number above 0")
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


class WatchConfig(BaseModel, frozen=True, extra="forbid"):
    """Where trials are shown side by side; their own curves are shown as base.watch says."""

    tensorboard: bool = Field(
        default=True,
        description="Table of hyperparameters, beside the curves: tensorboard --logdir SWEEP",
    )


class FinalConfig(BaseModel, frozen=True, extra="forbid"):
    """Test scores of the winner and the base, once the sweep has chosen; they choose nothing."""

    retrain: bool = Field(
        default=False,
        description="Train both on validation conditions, too, for as many steps as were best, "
        "before they are tested",
    )


class ResourcesConfig(BaseModel, frozen=True, extra="forbid"):
    """Cores and GPUs of one trial."""

    cpu: PositiveInt = Field(default=1, description="Cores of a trial")
    gpu: NonNegativeFloat = Field(
        default=0, description="GPUs of a trial; a fraction shares one between trials"
    )
    workers: NonNegativeInt = Field(
        default=0,
        description="Data-parallel workers inside a trial, each with these cores and GPUs; 0 and 1 "
        "mean that it trains in one process",
    )
    parallel_splits: PositiveInt | Literal["auto"] = Field(
        default=1,
        description="Splits of a trial at once, while the cluster has room that no trial wants; "
        "auto: all; a number also makes concurrent: auto leave that room",
    )

    def side_by_side(self, splits: int) -> int:
        """How many of a trial's splits may train at once, at most."""
        return splits if self.parallel_splits == "auto" else min(self.parallel_splits, splits)

    @field_validator("parallel_splits", mode="before")
    @classmethod
    def _number_or_auto(cls, given: Any) -> Any:
        return _number_or_auto("parallel_splits", given)

    @model_validator(mode="after")
    def _whole_gpus(self) -> Self:
        if self.workers > 1 and self.gpu not in (0, 1):
            raise ValueError(
                f"a worker inside a trial has one GPU or none, got gpu={self.gpu:g} and "
                f"workers={self.workers}; set gpu to 0 or 1, or workers to 0"
            )
        if self.workers > 1 and self.parallel_splits != 1:
            raise ValueError(
                "parallel_splits and workers exclude each other, got both; set one of them to 1"
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
