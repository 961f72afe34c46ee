"""Commands about run and sweep files: their schema, and all their settings."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.options import Commands
from cli.settings import Set, overrides
from cli.show.terminal import as_json, require_file, save, say, show_json
from cli.usage import example

app = typer.Typer()
config = Commands(
    name="config",
    help="Show run and sweep files, and their schema.",
    epilog=example("scdfm config schema run --out run.schema.json", "scdfm config show demo"),
    rich_markup_mode=None,
)
app.add_typer(config)


@config.command(
    epilog=example(
        "scdfm config schema sweep --out sweep.schema.json",
        "",
        "In an editor with the YAML language server, as first line of a sweep file:",
        "# yaml-language-server: $schema=sweep.schema.json",
    )
)
def schema(
    kind: Annotated[
        Literal["run", "sweep"], typer.Argument(metavar="run|sweep", help="Which files.")
    ] = "run",
    out: Annotated[
        Path | None, typer.Option(help="JSON file to write (default: print it).")
    ] = None,
) -> None:
    """Give the JSON Schema of run or sweep files.

    Editors use it to complete, explain and check settings.
    """
    require_file(out, suffixes=(".json",))
    from cluster.settings.file_schema import run_schema
    from sweeps.schema.file_schema import sweep_schema

    made = run_schema() if kind == "run" else sweep_schema()
    if out is None:
        show_json(made)
    else:
        save(as_json(made), out)
        say(f"written: {out}")


@config.command(
    epilog=example(
        "scdfm config show run.yaml --set model.width=256", "scdfm config show norman > mine.yaml"
    )
)
def show(
    file: Annotated[
        str,
        typer.Argument(
            metavar="RUN.yaml|SWEEP.yaml|NAME",
            help="A run or sweep file, or the name of a shipped sweep.",
        ),
    ],
    changes: Set = None,
) -> None:
    """Print a run or sweep file with every setting spelled out.

    It is checked as `train` and `tune` check it.
    """
    import yaml

    from sweeps.schema.files import read_either, spelled_out
    from sweeps.schema.sweep import SweepConfig

    found = read_either(file, overrides=overrides(changes))
    values = spelled_out(found) if isinstance(found, SweepConfig) else found.model_dump(mode="json")
    typer.echo(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), nl=False)
