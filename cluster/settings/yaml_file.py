"""Read YAML as users mean it: 1e-3 is a number, and a wrong key is an error of one line."""

import copy
import re
import types
import typing
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from scdfm.screen.names import closest, nearest
from scdfm.screen.untyped import Unchecked

Place = tuple[int | str, ...]
"""Where a setting is inside a configuration."""

_FAULTS = 3  # told at once
_KINDS = {  # of a setting, by pydantic's name of the fault
    **dict.fromkeys(("int_parsing", "int_type", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_parsing", "float_type"), "a number"),
    **dict.fromkeys(("bool_parsing", "bool_type"), "true or false"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list such as [A, B]"),
    "string_type": "text",
}


class _Loader(yaml.SafeLoader):
    """YAML 1.1 reads 1e-3 as text, and users mean a number; of two equal names it drops one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A mapping whose names differ."""
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = copy.deepcopy(yaml.SafeLoader.yaml_implicit_resolvers)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:\d[\d_]*\.?\d*|\.\d+)[eE][-+]?\d+$"),
    list("-+0123456789."),
)


def forgiving_yaml(path: Path) -> Unchecked:
    """Read a YAML mapping.

    Raises:
        FileNotFoundError: No such file.
        ValueError: A folder, not YAML, a name that is there twice, or not a mapping of settings.
    """
    if path.is_dir():
        raise ValueError(f"expected a YAML file of settings, got the folder {path}; name the file")
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}; expected a YAML file")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {_problem(error)}; correct it") from error
    except UnicodeDecodeError:
        raise ValueError(
            f"expected a YAML file of settings, got {path}, which is not text; cells are read by "
            "`scdfm init` and `scdfm ingest`"
        ) from None
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
            f"cannot read the value {text!r}: {_problem(error, lines=False)}; correct it"
        ) from error


def _problem(error: yaml.YAMLError, *, lines: bool = True) -> str:
    """What the parser stumbled over, and where, without its drawing of the place."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return " ".join(str(error).split())
    mark = error.problem_mark or error.context_mark
    row = f"line {mark.line + 1}, " if lines and mark is not None else ""
    where = f"{row}column {mark.column + 1}: " if mark is not None else ""
    return f"{where}{error.problem or error.context}"


def set_dotted(values: Unchecked, name: str, value: Any) -> Unchecked:
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


def flat(values: Any, *, into_lists: bool = True, prefix: str = "") -> Unchecked:
    """Values by dotted name, as `--set` names settings; items of lists by number, or left out."""
    inner = dict(enumerate(values)) if into_lists and isinstance(values, list) else values
    if not isinstance(inner, Mapping) or not inner:
        return {prefix: values}
    found: Unchecked = {}
    for name, value in inner.items():
        place = f"{prefix}.{name}" if prefix else str(name)
        found |= flat(value, into_lists=into_lists, prefix=place)
    return found


def one_line(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the faults of a configuration in one line, each with what to do.

    Unknown names come first, with the nearest known one: a misspelt section is why its settings,
    or the section itself, seem to be missing.
    """
    faults: dict[Place, ErrorDetails] = {}
    for fault in error.errors():  # of a value that may be of several kinds, each kind's
        faults.setdefault(_setting(fault["loc"], model), fault)
    unknown = {place: one for place, one in faults.items() if one["type"] == "extra_forbidden"}
    meant = {(*at[:-1], closest(str(at[-1]), fields_at(model, at[:-1]))) for at in unknown}
    absent = [at for at, one in faults.items() if one["type"] == "missing" and at not in meant]
    rest = [one for one in faults.values() if one["type"] not in ("extra_forbidden", "missing")]
    told = [_unknown(place, model) for place in unknown]
    told += [_missing(absent)] if absent else []
    told += [_described(one) for one in rest]
    more = f" (and {len(told) - _FAULTS} more)" if len(told) > _FAULTS else ""
    return " Also: ".join(f"{one}." for one in told[:_FAULTS]).replace("?.", "?").rstrip(".") + more


def _setting(location: Place, model: type[BaseModel]) -> Place:
    """The part of a fault's location that names a setting; pydantic adds the kinds it tried."""
    ends = (location[:end] for end in range(1, len(location)))
    return next((one for one in ends if not fields_at(model, one)), location)


def _unknown(place: Place, model: type[BaseModel]) -> str:
    known, around = fields_at(model, place[:-1]), place[:-1]
    close = closest(str(place[-1]), known)
    # The whole name, as --set takes it.
    remedy = (
        nearest(str(place[-1]), known)
        if close is None
        else (f"did you mean {_dotted((*around, close))!r}?")
    )
    return f"unknown setting {_dotted(place)!r}; {remedy}"


def _missing(places: Sequence[Place]) -> str:
    *others, last = map(_dotted, places)
    if not others:
        return f"{last} is missing; set it"
    return f"{', '.join(others)} and {last} are missing; set them"


def _dotted(place: Place) -> str:
    return ".".join(map(str, place))


def _described(fault: ErrorDetails) -> str:
    """What is wrong with a value, what came, and what to do."""
    where = _dotted(fault["loc"])
    if fault["type"] in ("model_type", "dict_type"):
        return f"{where} must hold settings as `name: value`, got {fault['input']!r}"
    if fault["type"] == "literal_error":
        return f"{where}: {_wrong_choice(fault['input'], expected=fault['ctx']['expected'])}"
    value = fault["input"]
    if fault["type"] in _KINDS:
        return f"{where}: expected {_KINDS[fault['type']]}, got {value!r}; correct it"
    message = fault["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    # A limit that pydantic names may be the very value, as 0 of "greater than 0".
    ours = fault["type"] == "value_error"
    said = isinstance(value, dict | BaseModel) or (ours and repr(value) in message)
    problem, semicolon, remedy = message.partition("; ")
    message = message if said else f"{problem}, got {value!r}{semicolon}{remedy}"
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


def fields_at(model: type[BaseModel], location: Place) -> list[str]:
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
