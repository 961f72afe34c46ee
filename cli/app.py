"""The commands of `scdfm`, and what happens when one fails.

Command modules import our packages and heavy libraries inside their functions: `scdfm --help` and
a mistyped option must answer at once, and torch, Ray and scanpy take seconds to load.
"""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from cli.commands import (
    compare,
    config,
    data,
    doctor,
    evaluate,
    import_release,
    ingest,
    init,
    predict,
    report,
    train,
    tune,
)
from cli.errors import FAILED, INTERRUPTED, FaultsError, explain
from cli.show.terminal import listen_closely, listening, say
from cli.usage import example

app = typer.Typer(
    name="scdfm",
    epilog=example(
        "scdfm ingest norman.h5ad stores/norman.zarr --recipe norman",
        "scdfm tune norman",
        "scdfm evaluate runs/norman/best",
        "scdfm predict runs/norman/best --store stores/norman.zarr --conditions A+B --out AB.h5ad",
    ),
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # panels cut long option names off
)
for commands in (
    data,
    init,
    ingest,
    train,
    tune,
    evaluate,
    compare,
    report,
    predict,
    import_release,
    config,
    doctor,
):
    app.add_typer(commands.app)


@dataclass
class Invocation:
    """Options that every command has."""

    debug: bool = False


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"scdfm {version('scdfm')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def scdfm(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="SCDFM_DEBUG", help="Show where an error comes from.")
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Predict how single cells respond to gene and drug perturbations."""
    context.obj.debug = debug
    if debug:
        listen_closely()
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: Sequence[str], *, stopping: Callable[[], bool] = lambda: False) -> int:
    """Run a command and return its exit status; an error is printed in one line.

    Args:
        arguments: What follows `scdfm` on the command line.
        stopping: Whether a signal is ending the command; then nothing is printed here.
    """
    invocation = Invocation()
    command = typer.main.get_command(app)
    try:
        with listening():
            result = command.main(
                list(arguments), prog_name="scdfm", standalone_mode=False, obj=invocation
            )
    except FaultsError:
        return FAILED
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the end of every error
        return INTERRUPTED if stopping() else _failed(error, debug=invocation.debug)
    # Typer gives Ctrl-C back as an exit status.
    if result == INTERRUPTED:
        return result if stopping() else _failed(KeyboardInterrupt(), debug=False)
    return result if isinstance(result, int) else 0


def _failed(error: BaseException, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    failure = explain(error)
    say(f"scdfm: {failure.line}")
    return failure.status
