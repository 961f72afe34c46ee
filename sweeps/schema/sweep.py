"""A sweep file: which runs to try, how to compare them, and what it may cost.

What to try is either a `space`, from which configurations are proposed, or a list of named
`configurations`, all of which are run.
"""

import math
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, field_serializer, model_validator

from cluster.settings.config import OF_SWEEPS, Name, RunConfig, make_run
from cluster.settings.presets import preset
from cluster.settings.yaml_file import flat, forgiving_yaml
from cluster.storage.places import local, named
from scdfm.method import DEFAULT, settings_of
from scdfm.screen.untyped import JsonObject, Unchecked
from scdfm.splits import SplitConfig
from sweeps.schema.checks import (
    check_base,
    check_configurations,
    check_rounds,
    check_space,
    corners,
)
from sweeps.schema.dimension import Dimension, Value
from sweeps.schema.rules import (
    BudgetConfig,
    ConfirmConfig,
    FailureConfig,
    FinalConfig,
    LimitsConfig,
    ObjectiveConfig,
    PruneConfig,
    ResourcesConfig,
    SearchConfig,
    StudyConfig,
    WatchConfig,
)
from sweeps.schema.space import Configuration, Space

__all__ = ["Configuration", "SweepConfig"]


class SweepConfig(BaseModel, frozen=True, extra="forbid"):
    """A sweep that can run: every choice of its space gives a valid run."""

    version: Literal[1] = Field(default=1, description="Form of this file")
    name: Name = Field(description="Name of the sweep; its directory is OUTPUT/NAME")
    output: Path = Field(
        default=Path("runs"), description="Folder of sweeps, or its address in an object store"
    )
    base: Unchecked = Field(
        description="Settings of a run that all trials share, or a path to a run file"
    )
    splits: tuple[SplitConfig, ...] = Field(
        default=(),
        description="Splits that every trial trains on, in order (default: the base's own)",
    )
    objective: ObjectiveConfig = Field(
        default=ObjectiveConfig(),
        description="What a trial is judged by: a metric, or a list of several",
    )
    space: dict[str, Dimension] = Field(
        default={},
        description="What to search: a setting's dotted name, such as model.width, "
        "and its range or values",
    )
    enqueue: tuple[Configuration, ...] = Field(
        default=(),
        description="Configurations to try right after the base, each with settings of the space "
        "by dotted name; others are the base's",
    )
    configurations: dict[str, Configuration] = Field(
        default={},
        description="Instead of a space: configurations by name, each with settings by dotted name",
    )
    search: SearchConfig = Field(
        default=SearchConfig(), description="How configurations are proposed"
    )
    study: StudyConfig = Field(default=StudyConfig(), description="Where Optuna's study is kept")
    prune: PruneConfig = Field(default=PruneConfig(), description="When a trial is stopped early")
    budget: BudgetConfig = Field(default=BudgetConfig(), description="What the sweep may cost")
    limits: LimitsConfig = Field(
        default=LimitsConfig(), description="What a configuration may need"
    )
    confirm: ConfirmConfig | None = Field(
        default=None,
        description="More seeds of the best few and the base, before one is called best "
        "(default: none)",
    )
    final: FinalConfig | None = Field(
        default=None,
        description="Score the winner and the base on test conditions at the end, apart from the "
        "board (default: no)",
    )
    resources: ResourcesConfig = Field(
        default=ResourcesConfig(), description="Cores and GPUs of one trial"
    )
    failure: FailureConfig = Field(
        default=FailureConfig(), description="What happens when trials fail"
    )
    watch: WatchConfig = Field(
        default=WatchConfig(), description="Where trials are shown side by side"
    )
    reuse: bool = Field(
        default=True,
        description="Copy what another sweep below output has trained with the same settings, "
        "cells, split and code, instead of training it again",
    )

    @field_serializer("output")
    def _as_named(self, output: Path) -> str:
        return named(output)

    @property
    def directory(self) -> Path:
        """Where the sweep lives; of one in an object store, where this process works on it."""
        return local(self.output) / self.name

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

    @property
    def whole_space(self) -> Space:
        """The space with all that decides what is tried in it."""
        known = _values(self.run({}, split=0))
        return Space(self.dimensions, base={**known, **self._own_values({})})

    @property
    def enqueued(self) -> tuple[Configuration, ...]:
        """The configurations to try right after the base, each with all settings of the space."""
        return tuple(self._own_values(self.filled_in(given)) for given in self.enqueue)

    def filled_in(self, given: Configuration) -> Configuration:
        """A configuration with what it leaves out: from the base, or what is tied.

        Raises:
            ValueError: A tied setting has no value.
        """
        own = {name: self._cast(name, value) for name, value in given.items()}
        return self.whole_space.complete((self.baseline | own).__getitem__) | own

    def _own_values(self, configuration: Configuration) -> Configuration:
        return self.values_of(self.run(configuration, split=0))

    def values_of(self, run: RunConfig) -> Configuration:
        """The values that a run has of the settings that are tried."""
        values = _values(run)
        return {name: self._cast(name, values.get(name)) for name in self.settings}

    def _cast(self, name: str, value: Value) -> Value:
        # 10 and 10.0 are one value, and must be one configuration: as the space spells it.
        return value if name not in self.space else self.space[name].spelt(value)

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
        if OF_SWEEPS & base.keys():
            told = f"the sweep file {given['base']}" if from_file else "those of a sweep"
            raise ValueError(
                f"base must be settings of a run or a run file, got {told}; name a run file"
            )
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
        for name in ("space", "search", "enqueue"):
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
        check_base(self)
        if self.configurations:
            check_configurations(self)
        else:
            check_space(self)
        if self.prune.scheduler != "none":
            check_rounds(self)
        return self

    def samples(self) -> list[Configuration]:
        """Every listed configuration, or the base, some values of a space alone, what is queued."""
        if self.configurations:
            return list(self.listed.values())
        alone = (whole for corner, whole in corners(self) if len(corner) == 1)
        return [self.baseline, *alone, *self.enqueued]


def _values(run: RunConfig) -> JsonObject:
    """Values of a run by dotted name, those of another method than flow filled in."""
    values = run.model_dump(mode="json")
    if run.method != DEFAULT:
        values["settings"] = settings_of(run).model_dump(mode="json")
    return flat(values, into_lists=False)
