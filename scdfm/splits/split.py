"""A split that was made: which condition of which context belongs to which part."""

import math
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from scdfm.screen.atomic import write_text
from scdfm.screen.conditions import CONTROL
from scdfm.splits.validation import Source

Part = Literal["train", "validation", "test"]


class Split(BaseModel, frozen=True, extra="forbid"):
    """Conditions by canonical name, in name order; control is in no part.

    A unit is a condition in a context. Where a whole context is held out, a condition may be in
    test (there) and in train (elsewhere), and likewise where a context validates; in every other
    kind the parts share no name.
    """

    kind: str
    seed: int
    fold: int
    train: tuple[str, ...]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...]
    tags: dict[str, str] = {}  # of test conditions: single, double_1_unseen, seen, ...
    validation_kind: Literal["conditions", "cells", "none"] = "conditions"
    validation_source: Source | None = None  # what validates; None in splits of older versions
    validation_contexts: tuple[str, ...] = ()  # left out of training, where contexts validate
    validation_folds: int | None = None  # of a fold: how many there are
    validation_fraction: float = Field(
        default=0.1, gt=0, lt=1
    )  # of the cells, where cells validate
    context: str | None = None  # the context held out, of kind context only

    @model_validator(mode="after")
    def _no_part_is_empty(self) -> Self:
        for part in ("train", "test"):
            if not getattr(self, part):
                raise ValueError(f"a split needs conditions to {part}, got none")
        if bool(self.validation) != (self.validation_kind == "conditions"):
            raise ValueError(
                "validation must list conditions when validation_kind is 'conditions' and none "
                f"when it is 'cells' or 'none', got {len(self.validation)} of kind "
                f"{self.validation_kind!r}"
            )
        if self.validation_contexts and not (self.validation and self.context):
            raise ValueError(
                "validation_contexts belong to a split that holds out a context and lists "
                f"validation conditions, got {', '.join(self.validation_contexts)}; remove them"
            )
        if self.context is not None and self.context in self.validation_contexts:
            raise ValueError(f"context {self.context!r} is tested; it must not validate, too")
        return self

    @model_validator(mode="after")
    def _no_condition_is_in_two_parts(self) -> Self:
        parts = [self.train]
        parts += [] if self.validation_contexts else [self.validation]
        parts += [self.test] if self.context is None else []
        names = [name for part in parts for name in part]
        twice = sorted(name for name, times in Counter(names).items() if times > 1)
        if twice:
            raise ValueError(
                f"parts of a split must not share conditions, got {twice[0]!r} twice "
                f"({len(twice)} such); keep it in one part"
            )
        if CONTROL in {*names, *self.test}:
            raise ValueError(f"{CONTROL!r} belongs to no part of a split; remove it")
        return self

    def part(self, condition: str, *, context: str) -> Part | None:
        """Say where a unit belongs; None when it is left out."""
        train, validation, test = self._members
        if self.context is not None and context == self.context:
            return "test" if condition in test else None
        if context in self.validation_contexts:
            return "validation" if condition in validation else None
        if condition in train:
            return "train"
        if condition in validation and not self.validation_contexts:
            return "validation"
        return "test" if self.context is None and condition in test else None

    @cached_property
    def _members(self) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
        return frozenset(self.train), frozenset(self.validation), frozenset(self.test)

    @property
    def validates_as_tested(self) -> bool:
        """Whether validation units ask what test units ask; else a score of them is a guess.

        A user's own list is taken at its word. Splits of older versions do not say. Doubles of
        known perturbations do not ask for perturbations never seen, nor these for such doubles.
        """
        if self.context is not None:
            return self.validation_source in ("listed", "contexts")
        if self.validation_source in ("measured", "conditions") and self.tags:
            return self._tests_known_ones == (self.validation_source == "measured")
        return self.validation_source in ("listed", "measured", "conditions")

    @property
    def _tests_known_ones(self) -> bool:
        """Whether half of the test conditions, or more, combine perturbations that trained."""
        known = sum(tag.endswith("_0_unseen") for tag in self.tags.values())
        return 2 * known >= len(self.tags)

    def knows_controls(self, context: str) -> bool:
        """Whether training may see the controls of this context."""
        return context != self.context

    def validation_cells(self, cells: int) -> int:
        """How many of a training unit's cells validate: the LAST rows of the unit.

        Rows are in random order inside a unit, so the last ones are a fair sample. One cell at
        least stays in training.
        """
        if self.validation_kind != "cells":
            return 0
        # Rounded first: 0.1 * 70 is a little above 7 in binary.
        return max(0, min(math.ceil(round(self.validation_fraction * cells, 9)), cells - 1))

    def save(self, path: Path) -> None:
        """Write the split as JSON; a reader sees the complete new file or the old one."""
        write_text(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a split that `save` wrote.

        Raises:
            ValueError: Not a split, or a split with a fault.
        """
        try:
            return cls.model_validate_json(path.read_bytes())
        except ValidationError as cause:
            raise ValueError(
                f"{path} must hold a split as `scdfm split` writes it, got: {first_fault(cause)}"
            ) from cause


def first_fault(cause: ValidationError) -> str:
    """Say on one line what pydantic found first."""
    fault = cause.errors()[0]
    where = ".".join(map(str, fault["loc"]))
    return f"{where + ': ' if where else ''}{fault['msg'].removeprefix('Value error, ')}"
