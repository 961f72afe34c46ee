"""Keywords of a function that are the fields of a pydantic model, spelled once."""

import inspect
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cluster.settings.yaml_file import one_line

M = TypeVar("M", bound=BaseModel)
F = TypeVar("F", bound=Callable[..., Any])


def filled(model: type[M], settings: Mapping[str, Any], *, where: str) -> M:
    """A model from plain values.

    Raises:
        ValueError: An unknown name (names the nearest) or a value out of range, in one line.
    """
    try:
        return model.model_validate(
            {name: _listed(model, name, value) for name, value in settings.items()}
        )
    except ValidationError as error:
        raise ValueError(f"{where}: {one_line(error, model)}") from None


def _listed(model: type[BaseModel], name: str, value: object) -> object:
    """One name where a list of names is meant, as the command takes it: a list of that one."""
    field = model.model_fields.get(name)
    kinds = () if field is None else (field.annotation, *typing.get_args(field.annotation))
    lists = any(typing.get_origin(kind) in (tuple, list) for kind in kinds)
    return (value,) if lists and isinstance(value, str | Path) else value


def keywords_of(model: type[BaseModel], *, given: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Show a model's fields instead of `**settings` in help() and a notebook's completion.

    Args:
        model: Whose fields the settings are.
        given: Fields that the function names itself.
    """

    def signed(function: F) -> F:
        signature = inspect.signature(function)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        fields = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.get_default(call_default_factory=True)
                if not field.is_required()
                else inspect.Parameter.empty,
                annotation=field.annotation,
            )
            for name, field in model.model_fields.items()
            if name not in given
        ]
        function.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=[*own, *fields]
        )
        return function

    return signed
