"""One line of a search space: the values that one setting may take, or what it follows from."""

import math
from itertools import pairwise
from typing import Literal, Self

from pydantic import (
    BaseModel,
    Field,
    FiniteFloat,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    model_validator,
)

from sweeps.schema.expression import settings_in

Value = bool | int | float | str | None
_GOLDEN = 0.381966  # a place inside a range that no setting singles out


class Dimension(BaseModel, frozen=True, extra="forbid"):
    """A range of numbers (type float or int), a list of values (type choice), or a tie."""

    type: Literal["float", "int", "choice"] | None = Field(
        default=None, description="Real numbers, whole numbers, or a list of values"
    )
    low: FiniteFloat | None = Field(default=None, description="float, int: smallest value")
    high: FiniteFloat | None = Field(
        default=None, description="float, int: largest value, included"
    )
    log: bool = Field(
        default=False, description="float, int: small values are tried as often as large ones"
    )
    step: FiniteFloat | None = Field(
        default=None, gt=0, description="float, int: low, low + step, ... up to high"
    )
    values: tuple[StrictBool | StrictInt | StrictFloat | StrictStr | None, ...] | None = Field(
        default=None, description="choice: the values"
    )
    when: dict[str, StrictBool | StrictInt | StrictFloat | StrictStr] | None = Field(
        default=None,
        description="Tried only when other settings of the space have these values; else the "
        "base's value",
    )
    tie: str | None = Field(
        default=None,
        description="Instead of a type: arithmetic on other settings, such as model.width // 64",
    )

    @model_validator(mode="after")
    def _follows_or_is_tried(self) -> Self:
        if self.tie is None and self.type is None:
            raise ValueError("type is missing; set it to float, int or choice, or give a tie")
        if self.tie is None:
            return self
        tried = self.model_dump(exclude={"tie", "when"}, exclude_defaults=True)
        if tried:
            raise ValueError(f"{next(iter(tried))} does not belong to a tie; remove one of both")
        if not settings_in(self.tie):
            raise ValueError(f"tie must name a setting, got {self.tie!r}; set the value in base")
        return self

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if self.tie is not None:
            return self
        choice = self.type == "choice"
        ranged = {"low": self.low, "high": self.high, "step": self.step, "log": self.log or None}
        if choice and not self.values:
            raise ValueError("type choice needs values: [A, B, ...]; add them")
        if not choice and (self.low is None or self.high is None):
            raise ValueError(f"type {self.type} needs low and high; add them")
        stray = next((name for name, value in ranged.items() if choice and value is not None), None)
        if not choice and self.values is not None:
            stray = "values"
        if stray:
            raise ValueError(f"{stray} does not belong to type {self.type}; remove it")
        return self

    @model_validator(mode="after")
    def _range_holds_numbers(self) -> Self:
        if self.low is None or self.high is None:
            return self
        if self.low > self.high:
            raise ValueError(
                f"low must not be above high, got low={self.low:g}, high={self.high:g}; swap them"
            )
        if self.low == self.high:
            raise ValueError(
                f"low and high are both {self.low:g}, which leaves nothing to try; set it in base"
            )
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0, got low={self.low:g}; raise it")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other, got both; remove one")
        if self.step is not None and self.step > self.high - self.low:
            raise ValueError(
                f"step must not be above high - low, got step={self.step:g}, low={self.low:g}, "
                f"high={self.high:g}; lower it"
            )
        return self

    @model_validator(mode="after")
    def _whole_where_said(self) -> Self:
        for name in ("low", "high", "step"):
            value = getattr(self, name)
            if self.type == "int" and value is not None and not float(value).is_integer():
                raise ValueError(f"type int needs a whole {name}, got {value:g}; use type float")
        return self

    @model_validator(mode="after")
    def _values_differ(self) -> Self:
        texts = sorted(map(_told, self.values or ()))
        twice = [one for one, other in pairwise(texts) if one == other]
        if twice:
            raise ValueError(f"values must differ, got {twice[0]} twice; remove one")
        return self

    @property
    def needs(self) -> frozenset[str]:
        """Settings that decide whether it counts, or its value."""
        return frozenset(self.when or ()) | (settings_in(self.tie) if self.tie else frozenset())

    @property
    def last(self) -> float:
        """The largest value of a range: high, or the last step below it."""
        assert self.low is not None
        assert self.high is not None
        if self.step is None:
            return self.high
        # The tolerance keeps 0.3 a multiple of 0.1.
        return self.low + self.step * math.floor((self.high - self.low) / self.step + 1e-9)

    def samples(self) -> tuple[Value, ...]:
        """Every choice, or both ends of a range and one value inside."""
        if self.values is not None:
            return self.values
        assert self.low is not None
        inside = self.low + _GOLDEN * (self.last - self.low)
        if self.step is not None:
            inside = self.low + self.step
        return tuple(dict.fromkeys(self.cast(one) for one in (self.low, inside, self.last)))

    def every(self) -> tuple[Value, ...]:
        """All values, in order; of a choice, or of a range that has steps."""
        if self.values is not None:
            return self.values
        assert self.low is not None
        step = self.step or 1.0
        count = round((self.last - self.low) / step) + 1
        # Twelve digits keep 0.1 + 2 * 0.1 the number that a user would write.
        return tuple(self.cast(float(f"{self.low + step * i:.12g}")) for i in range(count))

    @property
    def count(self) -> float:
        """How many values there are; infinite for a range without steps."""
        if self.values is not None:
            return len(self.values)
        assert self.low is not None
        if self.type == "float" and self.step is None:
            return math.inf
        return round((self.last - self.low) / (self.step or 1.0)) + 1

    def spelt(self, value: Value) -> Value:
        """The value as the search would propose it, if it is one that it could: 1 and 1.0 are."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return value
        if self.values is not None:
            numbers = [one for one in self.values if not isinstance(one, bool)]
            return next((one for one in numbers if one == value), value)
        if self.type == "float":
            return float(value)
        return int(value) if self.type == "int" and float(value).is_integer() else value

    def cast(self, value: float) -> int | float:
        """A number of this range's type."""
        return round(value) if self.type == "int" else float(value)

    def holds(self, value: Value) -> bool:
        """Whether the search could propose the value."""
        if self.values is not None:
            return any(value == one and type(value) is type(one) for one in self.values)
        if isinstance(value, bool | str) or value is None:
            return False
        assert self.low is not None
        if not self.low <= value <= self.last or value != self.cast(value):
            return False
        steps = (value - self.low) / (self.step or (1.0 if self.type == "int" else value or 1.0))
        free = self.type == "float" and self.step is None
        return free or math.isclose(steps, round(steps), abs_tol=1e-9)


def _told(value: Value) -> str:
    """A value as text, which is that of 1 for 1.0."""
    return repr(int(value) if isinstance(value, float) and value.is_integer() else value)
