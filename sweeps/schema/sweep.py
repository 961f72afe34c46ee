"""A sweep file: which runs to try, how to compare them, and what it may cost.

What to try is either a `space`, from which configurations are proposed, or a list of named
`configurations`, all of which are run.
"""

import math
from itertools import combinations, product
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from cluster.settings.config import Name, RunConfig, make_run
from cluster.settings.presets import preset
from cluster.settings.yaml_file import forgiving_yaml
from scdfm.splits import SplitConfig
from sweeps.schema.dimension import Dimension, Value
from sweeps.schema.rules import (
    BudgetConfig,
    FailureConfig,
    ObjectiveConfig,
    PruneConfig,
    ResourcesConfig,
    SearchConfig,
)
from sweeps.schema.settings import require_setting

Configuration = dict[str, Value]  # values by dotted name, one for each setting that is tried


class SweepConfig(BaseModel, frozen=True, extra="forbid"):
    """A sweep that can run: every choice of its space gives a valid run."""

    version: Literal[1] = Field(default=1, description="Form of this file")
    name: Name = Field(description="Name of the sweep; its directory is OUTPUT/NAME")
    output: Path = Field(default=Path("runs"), description="Folder of sweeps")
    base: dict[str, Any] = Field(
        description="Settings of a run that all trials share, or a path to a run file"
    )
    splits: tuple[SplitConfig, ...] = Field(
        default=(),
        description="Splits that every trial trains on, in order (default: the base's own)",
    )
    objective: ObjectiveConfig = Field(
        default=ObjectiveConfig(), description="What a trial is judged by"
    )
    space: dict[str, Dimension] = Field(
        default={},
        description="What to search: a setting's dotted name, such as model.width, "
        "and its range or values",
    )
    configurations: dict[str, Configuration] = Field(
        default={},
        description="Instead of a space: configurations by name, each with settings by dotted name",
    )
    search: SearchConfig = Field(
        default=SearchConfig(), description="How configurations are proposed"
    )
    prune: PruneConfig = Field(default=PruneConfig(), description="When a trial is stopped early")
    budget: BudgetConfig = Field(default=BudgetConfig(), description="What the sweep may cost")
    resources: ResourcesConfig = Field(
        default=ResourcesConfig(), description="Cores and GPUs of one trial"
    )
    failure: FailureConfig = Field(
        default=FailureConfig(), description="What happens when trials fail"
    )

    reuse: bool = Field(
        default=True,
        description="Copy what another sweep below output has trained with the same settings, "
        "cells, split and code, instead of training it again",
    )

    @property
    def directory(self) -> Path:
        """Where the sweep lives."""
        return self.output / self.name

    @property
    def rounds(self) -> int:
        """Validation rounds of one split, without that of the untrained model."""
        training = self.run({}, split=0).training
        return math.ceil(training.steps / training.validate_every)

    @property
    def settings(self) -> tuple[str, ...]:
        """Dotted names of all settings that are tried."""
        named = (name for one in self.configurations.values() for name in one)
        return tuple(self.space) or tuple(dict.fromkeys(named))

    @property
    def dimensions(self) -> dict[str, Dimension]:
        """The values that each setting may take: the space, or the values of the list."""
        if self.space:
            return self.space
        tried = {name: [one[name] for one in self.listed.values()] for name in self.settings}
        return {
            name: Dimension(type="choice", values=tuple(dict.fromkeys(values)))
            for name, values in tried.items()
        }

    @property
    def listed(self) -> dict[str, Configuration]:
        """The named configurations; each takes what it leaves out from the base."""
        return {name: self._own_values(one) for name, one in self.configurations.items()}

    def name_of(self, configuration: Configuration) -> str | None:
        """The name of a listed configuration."""
        return next((name for name, one in self.listed.items() if one == configuration), None)

    @property
    def baseline(self) -> Configuration:
        """The base's own values of the settings that are tried."""
        return self._own_values({})

    def _own_values(self, configuration: Configuration) -> Configuration:
        run = self.run(configuration, split=0).model_dump(mode="json")
        return {name: self._own_value(run, name) for name in self.settings}

    def _own_value(self, run: dict[str, Any], name: str) -> Value:
        value: Any = run
        for part in name.split("."):
            value = value[part]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # 10 and 10.0 are one value of a float range, and must be one configuration.
        ranged = name in self.space and self.space[name].type == "float"
        return float(value) if ranged and number else value

    def run(
        self, configuration: Configuration, *, split: int, output: Path | None = None
    ) -> RunConfig:
        """The run of a configuration on one of the splits.

        Raises:
            ValueError: The configuration is not a valid run.
        """
        values = {
            **self.base,
            "name": f"split-{split}",
            "split": self.splits[split].model_dump(exclude_unset=True),
            "output": str(output or self.directory),
            "validation": {**self.base.get("validation", {}), "metric": self.objective.metric},
        }
        return make_run(values, where="base", overrides=dict(configuration))

    @model_validator(mode="before")
    @classmethod
    def _splits_of_the_base(cls, given: Any) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get("base"), str | Path | dict):
            return given
        base, from_file = given["base"], not isinstance(given["base"], dict)
        base = dict(forgiving_yaml(Path(base)) if from_file else base)
        if not isinstance(base.setdefault("validation", {}), dict):
            raise ValueError(
                f"base.validation must hold settings, got {base['validation']!r}; "
                "write {cells: 128} or leave it out"
            )
        own_split = base.pop("split", None)
        if not from_file and own_split is not None and given.get("splits"):
            raise ValueError("base.split and splits exclude each other, got both; remove one")
        given = {**given, "base": base}
        if not given.get("splits") and own_split is None and "preset" in base:
            own_split = preset(base["preset"]).get("split")
        if not given.get("splits") and own_split is not None:
            given["splits"] = [own_split]
        for name in ("name", "output"):
            if base.pop(name, None) is not None and not from_file:
                raise ValueError(f"base.{name} has no effect; set {name} next to base")
        return given

    @model_validator(mode="before")
    @classmethod
    def _a_list_is_run_whole(cls, given: Any) -> Any:
        listed = given.get("configurations") if isinstance(given, dict) else None
        if not listed or not isinstance(listed, dict):
            return given
        for name in ("space", "search"):
            if given.get(name):
                raise ValueError(
                    f"{name} and configurations exclude each other: all of a list is run, "
                    "got both; remove one"
                )
        budget, prune = given.get("budget", {}), given.get("prune", {})
        if not isinstance(budget, dict) or not isinstance(prune, dict):
            return given
        count = len(listed)
        if budget.get("trials", count) != count:
            raise ValueError(
                f"budget.trials is {budget['trials']} and there are {count} configurations, all of "
                "which are run; remove budget.trials"
            )
        return {
            **given,
            "budget": {**budget, "trials": count},
            "prune": {"scheduler": "none", **prune},
        }

    @model_validator(mode="after")
    def _something_to_try(self) -> Self:
        if not self.space and not self.configurations:
            raise ValueError(
                "space must hold at least 1 setting, or configurations at least 2; "
                "add one of the two"
            )
        if len(self.configurations) == 1:
            raise ValueError(
                "configurations must hold at least 2, got 1; a single one is a run: `scdfm train`"
            )
        return self

    @model_validator(mode="after")
    def _some_splits(self) -> Self:
        if not self.splits:
            raise ValueError("splits is missing; list at least one, such as {kind: additive}")
        for one, other in combinations(range(len(self.splits)), 2):
            if self.splits[one] == self.splits[other]:
                raise ValueError(f"splits must differ, got number {one + 1} and {other + 1} alike")
        return self

    @model_validator(mode="after")
    def _every_choice_can_run(self) -> Self:
        for name in self.settings:
            require_setting(name, within="space" if self.space else "configurations")
        judged_by = (self.base.get("validation") or {}).get("metric", self.objective.metric)
        if judged_by != self.objective.metric:
            raise ValueError(
                f"base.validation.metric is {judged_by!r} and objective.metric "
                f"{self.objective.metric!r}; a trial keeps the model that it is judged by: "
                "make them equal or leave out the first"
            )
        self.run({}, split=0)
        if self.configurations:
            self._every_listed_one_can_run()
            return self
        usual = self._usual()
        for corner in self._corners():
            try:
                self.run(usual | corner, split=0)
            except ValueError as error:
                tried = ", ".join(f"{name}={value!r}" for name, value in corner.items())
                fault = str(error).removeprefix("base: ")
                raise ValueError(f"space allows {tried}, which cannot run: {fault}") from error
        return self

    def _every_listed_one_can_run(self) -> None:
        seen: dict[str, str] = {}
        for name, configuration in self.configurations.items():
            try:
                content = self.run(configuration, split=0).model_dump_json()
            except ValueError as error:
                fault = str(error).removeprefix("base: ")
                raise ValueError(f"configurations.{name} cannot run: {fault}") from error
            if content in seen:
                raise ValueError(
                    f"configurations must differ, got {seen[content]!r} and {name!r} alike; "
                    "remove one"
                )
            seen[content] = name

    def samples(self) -> list[Configuration]:
        """Every listed configuration, or the base and some values of a space, one at a time."""
        if self.configurations:
            return list(self.listed.values())
        usual = self._usual()
        alone = [usual | corner for corner in self._corners() if len(corner) == 1]
        return [self.baseline, *alone]

    def _usual(self) -> Configuration:
        """The base if it lies in the space, else some value that does."""
        own = self.baseline
        return {
            name: own[name] if dimension.holds(own[name]) else dimension.samples()[0]
            for name, dimension in self.space.items()
        }

    def _corners(self) -> list[Configuration]:
        """Each value alone, then each pair, because contradictions are between two settings."""
        tried = {name: dimension.samples() for name, dimension in self.space.items()}
        alone: list[Configuration] = [{name: v} for name, values in tried.items() for v in values]
        pairs: list[Configuration] = [
            {one: a, other: b}
            for one, other in combinations(tried, 2)
            for a, b in product(tried[one], tried[other])
        ]
        return alone + pairs

    @model_validator(mode="after")
    def _rounds_compare(self) -> Self:
        if self.prune.scheduler == "none":
            return self
        for name in ("training.steps", "training.validate_every"):
            if name in self.settings:
                raise ValueError(
                    f"asha compares trials round by round, and trying {name} changes what a "
                    "round is; set prune.scheduler to none or leave {name} out"
                )
        if self.run({}, split=0).validation.folds is not None:
            raise ValueError(
                "asha compares trials round by round, and with base.validation.folds a trial has "
                "no round before all its folds are trained; set prune.scheduler to none or leave "
                "the folds out"
            )
        rounds = self.rounds * len(self.splits)
        if self.prune.grace > rounds:
            raise ValueError(
                f"prune.grace must be at most the {rounds} validation rounds of a trial, got "
                f"{self.prune.grace}; lower it, validate more often, or write "
                "prune: {scheduler: none}"
            )
        return self
