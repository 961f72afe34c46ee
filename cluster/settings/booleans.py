"""True and false where a number is wanted: pydantic reads them as 1 and 0, which nobody means."""

import types
import typing
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

_UNIONS = (typing.Union, types.UnionType)


def boolean_for_number(values: Any, model: type[BaseModel]) -> str | None:
    """What to say of the first boolean where only a number may be; None if there is none.

    Args:
        values: Settings as a file holds them.
        model: That they are for.
    """
    return next(_faults(values, model, place=""), None)


def _faults(value: Any, kind: Any, *, place: str) -> Iterator[str]:
    if isinstance(value, bool):
        kinds = set(_kinds(kind))
        if kinds & {int, float} and not kinds & {bool, Any}:
            wanted = "a number" if float in kinds else "a whole number"
            yield f"{place}: expected {wanted}, got {value!r}; correct it"
    elif isinstance(value, dict):
        for name, inner in value.items():
            for of in _inside(name, kind):
                yield from _faults(inner, of, place=f"{place}.{name}" if place else str(name))
    elif isinstance(value, list | tuple):
        items = [of for one in _kinds(kind) for of in _items(one, value)]
        for number, (inner, of) in enumerate(items):
            yield from _faults(inner, of, place=f"{place}.{number}")


def _kinds(annotation: Any) -> Iterator[Any]:
    """What a value may be, one by one."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        yield from _kinds(typing.get_args(annotation)[0])
    elif origin in _UNIONS:
        for one in typing.get_args(annotation):
            yield from _kinds(one)
    else:
        yield annotation


def _inside(name: Any, annotation: Any) -> Iterator[Any]:
    """What a named value inside a mapping may be."""
    for kind in _kinds(annotation):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for field, known in kind.model_fields.items():
                if name == (known.alias or field):
                    yield known.annotation
        elif typing.get_origin(kind) is dict:
            yield typing.get_args(kind)[1]


def _items(kind: Any, values: Any) -> list[tuple[Any, Any]]:
    """The items of a list, each with what it may be."""
    if typing.get_origin(kind) not in (tuple, list):
        return []
    *each, last = typing.get_args(kind)
    if last is Ellipsis or not each:
        each, last = [], (each or [last])[0]
    return [(one, each[at] if at < len(each) else last) for at, one in enumerate(values)]
