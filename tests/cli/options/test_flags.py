"""Names are promises: a command or flag that goes away breaks somebody's script.

A new flag is added here on purpose; a changed one is a breaking change and belongs in the
CHANGELOG.
"""

import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from cli.app import app
from cli.usage import copied
from data_store.simulate import SimulateOptions
from data_store.sources.options import IngestOptions
from scdfm.splits import SplitConfig
from tests.cli.conftest import Call

FROZEN = {
    "simulate": "OUT.h5ad --cells --genes --singles --doubles --contexts --seed --overwrite",
    "ingest": "SOURCE... STORE --recipe --cells --modality --feature-type --gene-column --sha256 "
    "--condition --condition-column --control --guides --multi-guide --separator --context "
    "--context-column --layer --normalised --round --library-size --library-size-column "
    "--perturbation --min-cells --min-condition-cells --genes --gene-list --exclude "
    "--drop-unlabelled --drop-uncontrolled --join --remote --seed --memory "
    "--workers --append --overwrite",
    "init": "SOURCE... DIR --recipe --cells --modality --feature-type --gene-column --sha256 "
    "--condition --condition-column --control --guides --multi-guide --separator --context "
    "--context-column --layer --normalised --round --library-size --library-size-column "
    "--perturbation --min-cells --min-condition-cells --genes --gene-list --exclude "
    "--drop-unlabelled --drop-uncontrolled --join --remote --seed --memory "
    "--workers --append --overwrite --minutes --gpu --json",
    "verify": "STORE|RUN|SWEEP|MODEL|PREDICTION --json",
    "inspect": "STORE|RUN|SWEEP|MODEL|PREDICTION --follow --json",
    "export": "STORE OUT.h5ad --conditions --normalised --genes-of --overwrite",
    "split": "STORE --kind --fold --seed --fraction --genes --context --path --test "
    "--validation --out --overwrite --json",
    "train": "RUN.yaml --workers --cpus-per-worker --gpu --no-gpu --ensemble --set --address "
    "--json",
    "tune": "SWEEP.yaml|NAME --set --address --dry-run --extend --new --json",
    "evaluate": "[RUN|MODEL|PREDICTION] --store --split --predictions --metrics --profile --cells "
    "--seed --repeats --untrained --precision --gpu --no-gpu --again --out --json",
    "report": "RUN|SWEEP|EVALUATION --conditions --store --out --format --figures",
    "compare": "RUN|MODEL... --metrics --again --json",
    "predict": "MODEL --store --conditions --out --contexts --cells --genes --seed "
    "--interval --with-controls --precision --overwrite --actors --gpu --no-gpu --summary "
    "--address",
    "import-release": "CHECKPOINT.pt MODEL --store --mask --vocabulary --perturbations --heads "
    "--split --kind --fold --k --negative-edges --overwrite --json",
    "config schema": "run|sweep --out",
    "doctor": "--output --store --gpu --no-gpu --address --json",
    "config show": "RUN.yaml|SWEEP.yaml|NAME --set",
}


def leaves(group: Any, *, above: str = "") -> Iterator[tuple[str, Any]]:
    """Every command by its full name, those of groups in groups, too."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, above=f"{name} ")
        else:
            yield f"{above}{name}", command


def commands() -> dict[str, str]:
    """Arguments and flags of each command, in the order of --help."""
    found = {}
    for name, command in leaves(typer.main.get_command(app)):
        words = []
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                words.append(parameter.metavar)
            else:
                words += [*parameter.opts, *parameter.secondary_opts]
        found[name] = " ".join(words)
    return found


def test_commands_and_flags_are_as_promised() -> None:
    assert commands() == FROZEN


@pytest.mark.parametrize(
    ("command", "model"),
    [("ingest", IngestOptions), ("simulate", SimulateOptions), ("split", SplitConfig)],
    ids=["ingest", "simulate", "split"],
)
def test_no_option_is_out_of_reach(
    command: str, model: type[IngestOptions | SimulateOptions | SplitConfig]
) -> None:
    flags = set(FROZEN[command].split())
    assert {f"--{field.replace('_', '-')}" for field in model.model_fields} <= flags


@pytest.fixture
def _narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.usefixtures("_narrow")
@pytest.mark.parametrize("command", FROZEN)
def test_help_shows_an_example_in_lines_that_fit(scdfm: Call, command: str) -> None:
    called = scdfm(*command.split(), "--help")
    assert called.status == 0
    assert f"Example:\n    scdfm {command}" in called.out
    assert [line for line in called.out.splitlines() if len(line) > 80] == []


@pytest.mark.usefixtures("_narrow")
def test_the_list_of_commands_fits_and_cuts_none_short(scdfm: Call) -> None:
    shown = scdfm("--help").out
    assert [line for line in shown.splitlines()[1:] if len(line) > 80 or "..." in line] == []


def test_a_command_in_several_lines_is_the_same_to_a_shell() -> None:
    """An option stays beside its value, and a word is never broken."""
    words = ["scdfm", "ingest", "my cells.h5ad", "/a/long/place/" + 60 * "x", "--control", "NT_*"]
    words += ["--perturbation", "gene", "--overwrite"]
    for width in (20, 40, 80, None):
        rows = copied([shlex.quote(word) for word in words], width=width)
        assert shlex.split("\n".join(rows).replace("\\\n", "")) == words
        wide = [row for row in rows if width is not None and len(row) > width]
        assert all("/a/long/place/" in row for row in wide)
    assert "  --control NT_* --perturbation gene \\" in copied(words, width=40)
