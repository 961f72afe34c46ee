"""Settings given as `--set name=value`."""

from collections.abc import Sequence
from typing import Annotated

import typer

from scdfm.screen.untyped import Unchecked

Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Change a setting by its dotted name; may be repeated.",
    ),
]


def overrides(changes: Sequence[str] | None) -> Unchecked:
    """Values by dotted name; a value is read as YAML reads it.

    Raises:
        ValueError: Something is not name=value, or a name is given twice.
    """
    if not changes:
        return {}
    from cluster.settings.yaml_file import scalar

    values: Unchecked = {}
    for change in changes:
        name, equals, value = change.partition("=")
        name = name.strip()
        if not equals or not all(name.split(".")):
            raise ValueError(f"expected --set NAME=VALUE such as model.width=256, got {change!r}")
        if name in values:
            raise ValueError(f"--set gives {name} twice; give it once")
        values[name] = scalar(value)
    return values
