"""`watch` in a run file: where a run's curves are shown, by the names of `cluster.watchers`.

A watcher is switched on by true or by its settings, and off by false. None of it decides a value.
"""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import JsonSchemaValue

from cluster.settings.yaml_file import one_line
from cluster.watchers.registry import WATCHERS
from scdfm.screen.untyped import Unchecked

USUAL = {"tensorboard": True}


class _Known:
    """Checks each watcher by its own settings, and spells these out."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema

        return core_schema.no_info_before_validator_function(_spelt_out, handler(source))

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> JsonSchemaValue:
        forms = {name: _form(watcher.Settings) for name, watcher in WATCHERS.items()}
        return {"type": "object", "properties": forms, "additionalProperties": False}


Watch = Annotated[Unchecked, _Known()]


def watched_by(watch: Mapping[str, Any]) -> dict[str, BaseModel]:
    """The settings of the watchers that are on, by name."""
    return {
        name: WATCHERS[name].Settings.model_validate({} if given is True else given)
        for name, given in watch.items()
        if given is not False
    }


def require_watchers(watch: Mapping[str, Any]) -> None:
    """Refuse a watcher whose client is missing.

    Raises:
        ValueError: One is; says how to install it.
    """
    for name in watched_by(watch):
        WATCHERS[name].require()


def _spelt_out(given: Any) -> Any:
    if not isinstance(given, dict):
        return given
    return {name: _settings(name, value) for name, value in {**USUAL, **given}.items()}


def _settings(name: str, given: Any) -> Any:
    """False, true for a watcher without settings, or its settings with all defaults."""
    known = WATCHERS[name].Settings
    if given is False or given is None:
        return False
    if given is not True and not isinstance(given, dict):
        raise ValueError(
            f"{name}: expected true, false or settings as `name: value`, got {given!r}; correct it"
        )
    try:
        settings = known.model_validate({} if given is True else given)
    except ValidationError as error:
        raise ValueError(f"{name}: {one_line(error, known)}") from error
    return settings.model_dump(mode="json") or True


def _form(settings: type[BaseModel]) -> JsonSchemaValue:
    """The schema of a watcher: on, off, or its settings."""
    said = {"description": settings.__doc__ or settings.__name__}
    return {**said, "anyOf": [{"type": "boolean"}, settings.model_json_schema()]}
