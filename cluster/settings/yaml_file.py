"""Read YAML as users mean it: 1e-3 is a number, and a wrong key is an error of one line."""

import copy
import re
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from scdfm.screen.names import closest, nearest

_KINDS = {  # of a setting, by pydantic's name of the fault
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list such as [A, B]"),
    "string_type": "text",
}


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as text; users mean a number."""


_Loader.yaml_implicit_resolvers = copy.deepcopy(yaml.SafeLoader.yaml_implicit_resolvers)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def forgiving_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        FileNotFoundError: No such file.
        ValueError: Not YAML, or not a mapping of settings.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}; expected a YAML file")
    try:
        values = yaml.load(path.read_text(), Loader=_Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        found = "nothing" if values is None else type(values).__name__
        raise ValueError(f"{path} must hold settings as `name: value`, got {found}")
    return values


def scalar(text: str) -> Any:
    """Read one value as a YAML file would."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(
            f"cannot read the value {text!r}: {' '.join(str(error).split())}"
        ) from error


def set_dotted(values: dict[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return a copy with one value set by its dotted name.

    Raises:
        ValueError: The name leads through a plain value.
    """
    head, _, rest = name.partition(".")
    if not rest:
        return {**values, head: value}
    inner = {} if values.get(head) is None else values[head]
    if not isinstance(inner, dict):
        raise ValueError(
            f"cannot set {rest!r} inside {head}, which is {inner!r}; set all of {head} at once, "
            f"such as {head}={{NAME: VALUE}}"
        )
    return {**values, head: set_dotted(inner, rest, value)}


def flat(values: Any, *, into_lists: bool = True, prefix: str = "") -> dict[str, Any]:
    """Values by dotted name, as `--set` names settings; items of lists by number, or left out."""
    inner = dict(enumerate(values)) if into_lists and isinstance(values, list) else values
    if not isinstance(inner, Mapping) or not inner:
        return {prefix: values}
    found: dict[str, Any] = {}
    for name, value in inner.items():
        place = f"{prefix}.{name}" if prefix else str(name)
        found |= flat(value, into_lists=into_lists, prefix=place)
    return found


def one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the first fault of a configuration in one line, with the nearest known name."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = fields_at(model, first["loc"][:-1])
        return f"unknown setting {where!r}; {nearest(str(first['loc'][-1]), known)}"
    if first["type"] == "missing":
        return f"{where} is missing; set it"
    if first["type"] in ("model_type", "dict_type"):
        return f"{where} must hold settings as `name: value`, got {first['input']!r}"
    if first["type"] == "literal_error":
        return f"{where}: {_wrong_choice(first['input'], expected=first['ctx']['expected'])}"
    value = first["input"]
    if first["type"] in _KINDS:
        return f"{where}: expected {_KINDS[first['type']]}, got {value!r}; correct it"
    message = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    said = isinstance(value, dict | BaseModel) or repr(value) in message
    fault, semicolon, remedy = message.partition("; ")
    message = message if said else f"{fault}, got {value!r}{semicolon}{remedy}"
    return f"{where}: {message}" if where else message


def _wrong_choice(given: object, *, expected: str) -> str:
    """What to say of a value that is none of the choices, which pydantic lists in quotes."""
    choices = re.findall("'([^']*)'", expected)
    close = closest(str(given), choices)
    if close is not None:
        remedy = f"did you mean {close!r}?"
    else:
        remedy = "choose one of them" if len(choices) > 1 else f"set it to {expected}"
    return f"expected {expected}, got {given!r}; {remedy}"


def fields_at(model: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """Names of the settings at a place inside a configuration."""
    here: Any = model
    for part in location:
        fields = here.model_fields if _is_model(here) else {}
        if part in fields:
            here = _model_inside(fields[str(part)].annotation)
    return list(here.model_fields) if _is_model(here) else []


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _model_inside(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, tuple, list, dict):
        for inner in typing.get_args(annotation):
            found = _model_inside(inner)
            if _is_model(found):
                return found
    return annotation
