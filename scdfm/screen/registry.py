"""What can be named in a file or an option: metrics, split kinds, formats, methods, and more.

A registry maps names to things. Our own are listed where the registry is made; those of other
distributions come from entry points of the registry's group, so it is enough to install a
distribution. Both are spelled "module:object", and nothing is imported
before it is used.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar, cast

from scdfm.screen.names import nearest
from scdfm.screen.untyped import JsonObject

T = TypeVar("T")


class Registry(Generic[T]):
    """Things of one kind by name: our own in their order, then those of other distributions.

    In a pydantic model `Annotated[str, REGISTRY]` is a name that the registry holds.
    """

    def __init__(self, kind: str, *, group: str, own: Mapping[str, str], of: Any = object) -> None:
        """List what there is; nothing is imported yet.

        Args:
            kind: What one of them is called in a message, such as "metric".
            group: Entry points of this group are plug-ins.
            own: "module:object" by name.
            of: Class or runtime-checkable protocol that all of them are instances of.
        """
        self.kind, self.group, self.of = kind, group, of
        self._places = dict(own)
        self._things: dict[str, T] = {}
        self._plugins: dict[str, EntryPoint] | None = None

    def __repr__(self) -> str:
        return f"Registry({self.kind!r}, group={self.group!r})"

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._places, *self._things, *self._found()]))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, name: object) -> bool:
        return name in self._places or name in self._things or name in self._found()

    def __getitem__(self, name: str) -> T:
        """The thing with this name.

        Raises:
            ValueError: Nothing has this name (names the nearest), or a plug-in cannot be loaded.
        """
        self.require(name)
        if name not in self._things:
            self._things[name] = self._load(name)
        return self._things[name]

    def items(self) -> Iterator[tuple[str, T]]:
        """All names with their things; imports all of them."""
        return ((name, self[name]) for name in self)

    def require(self, name: str) -> str:
        """Return the name, or refuse it.

        Raises:
            ValueError: Nothing has this name; names the nearest.
        """
        if name not in self:
            raise ValueError(f"{self.kind} {name!r} does not exist; {nearest(name, list(self))}")
        return name

    def add(self, name: str, thing: T) -> None:
        """Name something in this process; other processes of a cluster know only entry points.

        Raises:
            ValueError: The name is taken, or the thing is of another class.
        """
        if name in self:
            raise ValueError(f"a {self.kind} {name!r} exists already; choose another name")
        self._things[name] = self._checked(thing, name=name)

    @property
    def added(self) -> list[str]:
        """Names of what this process alone knows."""
        plugins = self._found()
        return [name for name in self._things if name not in {**self._places, **plugins}]

    @property
    def packages(self) -> list[str]:
        """Top-level packages of other distributions that things come from."""
        points = self._found().values()
        return list(dict.fromkeys(point.module.partition(".")[0] for point in points))

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Make `Annotated[str, registry]` refuse unknown names."""
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(self.require, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> JsonObject:
        """List the names in a JSON Schema."""
        return {**handler(schema), "enum": list(self)}

    def _found(self) -> dict[str, EntryPoint]:
        """Entry points by name."""
        if self._plugins is None:
            found: dict[str, EntryPoint] = {}
            for point in sorted(entry_points(group=self.group), key=lambda one: one.name):
                taken = found.get(point.name)
                if point.name in self._places or taken not in (None, point):
                    raise ValueError(
                        f"{self.kind} {point.name!r} of {_brought_by(point)} exists already"
                        f"{'' if taken is None else f' in {_brought_by(taken)}'}; "
                        "uninstall it or have it renamed"
                    )
                found[point.name] = point
            self._plugins = found
        return self._plugins

    def _load(self, name: str) -> T:
        if name in self._places:
            module, _, attribute = self._places[name].partition(":")
            return cast(T, getattr(import_module(module), attribute))
        point = self._found()[name]
        try:
            thing = point.load()
        # A plug-in may fail in any way; whose fault it is must be said.
        except Exception as error:
            raise ValueError(
                f"{self.kind} {name!r} of {_brought_by(point)} cannot be loaded from "
                f"{point.value}: {type(error).__name__}: {error}; fix or uninstall it"
            ) from error
        return self._checked(thing, name=name)

    def _checked(self, thing: Any, *, name: str) -> T:
        if not isinstance(thing, self.of):
            raise ValueError(
                f"{self.kind} {name!r} must be a {self.of.__module__}.{self.of.__qualname__}, "
                f"got {type(thing).__name__}"
            )
        return cast(T, thing)


def _brought_by(point: EntryPoint) -> str:
    return f"distribution {point.dist.name!r}" if point.dist is not None else point.value
