"""Options of commands, made from the models that they fill.

A model says the name, meaning, default and limits of each field; the options take them from there.
A command receives the validated model; what is not a field is a parameter of its own.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import PydanticUndefined
from typer.core import TyperCommand

Command = Callable[..., None]
Read = Callable[[Sequence[str]], object]
"""Makes a field's value of what its option was given, once or more."""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
Address = Annotated[
    str | None,
    typer.Option(
        envvar="RAY_ADDRESS", help="Address of a Ray cluster.", show_default="start Ray here"
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]

SWITCHES = ("gpu",)  # may be said to be off, too

_TYPES: dict[str, type] = {"integer": int, "number": float, "boolean": bool, "string": str}


class _Once(TyperCommand):
    """A command that refuses a second value for an option if only the last would count."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the command line.

        Raises:
            typer.BadParameter: An option that takes one value is given twice.
        """
        # The parser empties the list that it is given.
        _, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(order).items():
            if times > 1 and option.param_type_name == "option" and not option.multiple:
                names = "/".join((*option.opts, *option.secondary_opts))
                raise typer.BadParameter(
                    f"option '{names}' takes one value, got {times}; give it once", ctx=ctx
                )
        return super().parse_args(ctx, args)


class Commands(typer.Typer):
    """A group of commands that refuse an option given twice."""

    def command(  # type: ignore[override]  # Typer names its settings one by one
        self, name: str | None = None, **settings: Any
    ) -> Callable[[Command], Command]:
        """Register a command."""
        return super().command(name, cls=_Once, **settings)


def options_of(
    model: type[BaseModel],
    *,
    arguments: Mapping[str, str] | None = None,
    spelled: Mapping[str, Sequence[str]] | None = None,
    read: Mapping[str, Read] | None = None,
    defaults: Mapping[str, object] | None = None,
) -> Callable[[Command], Command]:
    """Replace a command's parameter of a model's type by an option for each field.

    Args:
        model: Type of one parameter of the command, which gets the model filled and validated.
        arguments: Names in the usage line, for fields that are told by place.
        spelled: Spellings by field, where --the-field is not the only one.
        read: How what an option was given becomes the value, by field.
        defaults: Of fields that the model itself wants told.
    """
    schema = model.model_json_schema()["properties"]
    given_as = {
        name: _parameter(
            name,
            field,
            schema[name],
            default=(defaults or {}).get(name, field.default),
            metavar=(arguments or {}).get(name),
            spelled=tuple((spelled or {}).get(name, ())),
        )
        for name, field in model.model_fields.items()
    }
    readers = read or {}

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True).parameters
        place = next(name for name, one in own.items() if one.annotation is model)

        def filled(**given: Any) -> None:
            # What is left out is the model's to say.
            told = {name: given.pop(name) for name in given_as}
            values = {
                name: readers[name](value) if name in readers else value
                for name, value in told.items()
                if value not in (None, [], ())
            }
            command(**{place: model.model_validate(values)}, **given)

        filled.__doc__, filled.__name__ = command.__doc__, command.__name__
        parameters = [
            new
            for name, one in own.items()
            for new in (given_as.values() if name == place else [one])
        ]
        filled.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
        )
        filled.__annotations__ = {one.name: one.annotation for one in parameters}
        return filled

    return decorate


def _parameter(
    name: str,
    field: FieldInfo,
    schema: JsonSchemaValue,
    *,
    default: object,
    metavar: str | None,
    spelled: tuple[str, ...],
) -> inspect.Parameter:
    """A parameter as Typer reads it."""
    kind, several = _kind(schema)
    required = default is PydanticUndefined
    told: Any = list[kind] if several else kind  # type: ignore[valid-type]
    default = None if several else default
    if metavar is not None:
        info: Any = typer.Argument(metavar=metavar, help=_help(field, several=False))
    else:
        info = typer.Option(
            *(spelled or _spellings(name, kind, default=default)),
            help=_help(field, several=several),
            min=_least(_inside(schema)),
        )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else default,
        annotation=Annotated[told | None if default is None else told, info],
    )


def _spellings(name: str, kind: Any, *, default: object) -> tuple[str, ...]:
    option = f"--{name.replace('_', '-')}"
    if kind is bool and (default is True or name in SWITCHES):
        return (f"{option}/--no-{option.removeprefix('--')}",)
    return (option,)


def _help(field: FieldInfo, *, several: bool) -> str:
    text = (field.description or "").rstrip(".")
    return f"{text}{'; may be repeated' if several else ''}."


def _inside(schema: JsonSchemaValue) -> JsonSchemaValue:
    """The schema of the value itself: not of None, nor of a list around it."""
    if "anyOf" in schema:
        [schema] = [one for one in schema["anyOf"] if one.get("type") != "null"]
    return schema["items"] if schema.get("type") == "array" else schema


def _kind(schema: JsonSchemaValue) -> tuple[Any, bool]:
    """The type of one value, and whether there may be several."""
    inside = _inside(schema)
    several = any(one.get("type") == "array" for one in (schema, *schema.get("anyOf", ())))
    if "enum" in inside:
        return Literal[tuple(inside["enum"])], several
    if inside.get("format") == "path":
        return Path, several
    return _TYPES[inside["type"]], several


def _least(schema: JsonSchemaValue) -> float | None:
    """The lower limit as Typer knows it; other limits are the model's to check."""
    least: float | None = schema.get("minimum")
    if schema.get("type") == "integer" and "exclusiveMinimum" in schema:
        least = schema["exclusiveMinimum"] + 1
    return least
