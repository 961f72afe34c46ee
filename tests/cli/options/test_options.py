"""Options say what the models behind them say, and take one value where one counts."""

import inspect
from pathlib import Path
from typing import Annotated

import pytest
import typer
from pydantic import BaseModel, Field

from cli.app import app
from cli.options import options_of
from tests.cli.conftest import Call
from tests.cli.options.test_flags import leaves

COMMANDS = dict(leaves(typer.main.get_command(app)))
SINGLE = [
    (name, max(option.opts, key=len), not option.is_flag)
    for name, command in COMMANDS.items()
    for option in command.params
    if option.param_type_name == "option" and not option.multiple
]


@pytest.mark.parametrize(("command", "option", "takes"), SINGLE, ids=lambda one: str(one))
def test_an_option_of_one_value_is_refused_when_given_twice(
    scdfm: Call, command: str, option: str, takes: bool
) -> None:
    once = [option, "1"] if takes else [option]
    called = scdfm(*command.split(), *once, *once)
    assert called.status == 2
    assert option in called.error
    assert "takes one value, got 2; give it once" in called.error


def test_lists_may_be_repeated_and_say_so() -> None:
    for command in COMMANDS.values():
        for option in command.params:
            if option.param_type_name == "option" and option.multiple:
                assert "may be repeated" in option.help, option.opts


def test_every_option_and_argument_is_explained() -> None:
    for name, command in COMMANDS.items():
        for parameter in command.params:
            assert parameter.help, f"{name}: {parameter.name}"


class Walk(BaseModel):
    """Facts of a walk."""

    place: Path = Field(description="Where to go")
    steps: int = Field(default=3, ge=1, description="How far")
    rain: bool = Field(default=False, description="It rains")
    friends: tuple[str, ...] = Field(default=(), description="Who comes")


def taken(*arguments: str) -> Walk:
    """What a command of the walk's options gets."""
    got: list[Walk] = []

    @options_of(Walk, arguments={"place": "PLACE"}, read={"friends": lambda names: sorted(names)})
    def walk(facts: Walk) -> None:
        got.append(facts)

    group = typer.Typer()
    group.command()(walk)
    typer.main.get_command(group).main(list(arguments), standalone_mode=False)
    return got[0]


def test_a_model_is_filled_from_the_command_line() -> None:
    assert taken("hill") == Walk(place=Path("hill"))
    told = taken("hill", "--steps", "5", "--rain", "--friends", "Eve", "--friends", "Adam")
    assert told == Walk(place=Path("hill"), steps=5, rain=True, friends=("Adam", "Eve"))


def test_what_is_not_told_stays_unset() -> None:
    assert taken("hill", "--steps", "3").model_fields_set >= {"place", "steps"}
    assert "friends" not in taken("hill").model_fields_set


def test_other_parameters_stay_the_commands_own() -> None:
    @options_of(Walk, arguments={"place": "PLACE"})
    def walk(first: Annotated[int, typer.Argument()], facts: Walk, json: bool = False) -> None: ...

    names = list(inspect.signature(walk).parameters)
    assert names == ["first", "place", "steps", "rain", "friends", "json"]


def test_a_value_out_of_range_is_one_line(scdfm: Call) -> None:
    for arguments in (
        ("simulate", "o.h5ad", "--cells", "0"),
        ("ingest", "a.h5ad", "s", "--min-cells", "-1"),
        ("split", "s", "--fraction", "1"),
        ("split", "s", "--seed", str(2**31)),
        ("split", "s", "--kind", "halves"),
        ("import-release", "c.pt", "m", "--store", "s", "--heads", "0"),
        ("evaluate", "m", "--cells", "0"),
        ("predict", "m", "--store", "s", "--conditions", "A", "--out", "o.h5ad", "--cells", "0"),
    ):
        called = scdfm(*arguments)
        assert called.status == 2, arguments
        assert arguments[-2] in called.error
