"""A search space as a whole: which of its settings count, in which order, and what follows.

A configuration holds a value for each setting of the space. What the search proposes, its
parameters, are those alone that are tried in this configuration: a setting whose `when` does not
hold has the base's value, and a tied one follows from the others.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import cast

from scdfm.screen.names import nearest
from sweeps.schema.dimension import Dimension, Value
from sweeps.schema.expression import evaluate

Configuration = dict[str, Value]  # values by dotted name, one for each setting that is tried


@dataclass(frozen=True)
class Space:
    """What may be tried.

    Attributes:
        dimensions: By the setting's dotted name.
        base: Values of all settings of the base, by dotted name.
    """

    dimensions: Mapping[str, Dimension]
    base: Mapping[str, object] = field(default_factory=dict)

    @property
    def order(self) -> tuple[str, ...]:
        """Settings, each after those that it needs; else sorted, so that a file's order is none.

        Raises:
            ValueError: Some need each other.
        """
        graph = {
            name: sorted(self.dimensions[name].needs & self.dimensions.keys())
            for name in sorted(self.dimensions)
        }
        try:
            return tuple(TopologicalSorter(graph).static_order())
        except CycleError as error:
            circle = " -> ".join(reversed(error.args[1]))
            raise ValueError(
                f"space holds settings that need each other: {circle}; give one of them a range"
            ) from error

    @property
    def tried(self) -> dict[str, Dimension]:
        """The settings that have values of their own."""
        return {name: self.dimensions[name] for name in self.order if not self._tied(name)}

    @property
    def conditional(self) -> bool:
        """Whether some settings are tried in some configurations only."""
        return any(one.when for one in self.dimensions.values())

    def complete(self, propose: Callable[[str], Value]) -> Configuration:
        """A configuration, in the space's order.

        Args:
            propose: Gives the value of a setting that counts; those it depends on were asked first.

        Raises:
            ValueError: A tied setting has no value.
        """
        values: dict[str, object] = dict(self.base)
        found: Configuration = {}
        for name in self.order:
            one = self.dimensions[name]
            if not counts(one, values):
                value = cast(Value, values.get(name))
            elif one.tie is not None:
                value = self._following(name, one.tie, values)
            else:
                value = propose(name)
            values[name] = found[name] = value
        return {name: found[name] for name in self.dimensions}

    def parameters(self, configuration: Configuration) -> Configuration:
        """The values that the search proposed, or would have."""
        return {
            name: configuration[name]
            for name, one in self.tried.items()
            if counts(one, configuration)
        }

    def holds(self, configuration: Configuration) -> bool:
        """Whether the search could propose the configuration."""
        own = self.parameters(configuration)
        if not all(self.dimensions[name].holds(value) for name, value in own.items()):
            return False
        try:
            return self.complete(own.__getitem__) == configuration
        except ValueError:
            return False  # a tied setting has no value there

    def check(self) -> None:
        """Refuse settings that need what is not there.

        Raises:
            ValueError: Says which, in one line.
        """
        for name, one in self.dimensions.items():
            for other, value in (one.when or {}).items():
                self._check_condition(name, other, value)
            if one.tie is not None:
                for other in sorted(one.needs - self.base.keys() - self.dimensions.keys()):
                    known = sorted(map(str, self.base))
                    raise ValueError(
                        f"space.{name}: {other!r} in its tie is not a setting of a run; "
                        f"{nearest(other, known)}"
                    )
        assert self.order is not None

    def _check_condition(self, name: str, other: str, value: Value) -> None:
        if other not in self.dimensions:
            raise ValueError(
                f"space.{name}: when names {other!r}, which is not in the space; "
                f"{nearest(other, [one for one in self.dimensions if one != name])}"
            )
        if not self._tied(other) and not any(
            same(value, known) for known in (*self._samples(other, value), self.base.get(other))
        ):
            raise ValueError(
                f"space.{name}: when asks for {other}={value!r}, which {other} never is; "
                "choose one of its values"
            )

    def _samples(self, name: str, value: Value) -> tuple[Value, ...]:
        one = self.dimensions[name]
        if one.values is not None:
            return one.values
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return (value,) if number and one.holds(one.cast(float(value or 0))) else ()

    def _following(self, name: str, tie: str, values: Mapping[str, object]) -> Value:
        try:
            value = evaluate(tie, values)
        except ValueError as error:
            raise ValueError(f"space.{name}: {error}") from error
        usual = self.base.get(name)
        # 8.0 and 8 are one value, and must be one configuration.
        if isinstance(usual, float):
            return float(value)
        return int(value) if isinstance(usual, int) and float(value).is_integer() else value

    def _tied(self, name: str) -> bool:
        return self.dimensions[name].tie is not None


def counts(one: Dimension, values: Mapping[str, object]) -> bool:
    """Whether a setting is tried beside the others' values."""
    return all(same(values.get(name), value) for name, value in (one.when or {}).items())


def same(one: object, other: object) -> bool:
    """Whether two values are one; 8 and 8.0 are, true and 1 are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)
