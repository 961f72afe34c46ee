"""The command that writes a run file and a sweep file for a user's own cells."""

import shlex
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.names import as_given, from_text_or_file
from cli.options import Commands, Json, options_of
from cli.show.progress import Bar
from cli.show.terminal import require_there, show, show_commands, show_json
from cli.usage import example
from data_store.sources.options import IngestOptions

app = Commands()

_SPELLED = {
    "condition_column": ("--condition", "--condition-column"),
    "context_column": ("--context", "--context-column"),
    "library_size_column": ("--library-size", "--library-size-column"),
}


@app.command(
    epilog=example(
        "scdfm init screen.h5ad mine",
        "scdfm init screen.h5ad mine --condition perturbation --context donor --minutes 60",
    )
)
@options_of(
    IngestOptions,
    spelled=_SPELLED,
    read={
        "gene_list": partial(
            from_text_or_file, column="gene", option="--gene-list", known=frozenset
        ),
        "exclude": partial(as_given, column="condition", option="--exclude"),
    },
)
def init(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Files of cells, as `ingest` takes.")
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="The folder for run.yaml and sweep.yaml.")
    ],
    options: IngestOptions,
    minutes: Annotated[
        float, typer.Option(min=0.1, help="Minutes that training may take on this machine.")
    ] = 30.0,
    gpu: Annotated[
        bool, typer.Option("--gpu", help="It will train on a GPU, with the paper's network.")
    ] = False,
    json: Json = False,
) -> None:
    """Look at cells and write a run and a sweep file for them.

    Both are commented. Takes the options of `ingest`, which comes next; no store is written.
    """
    for source in sources:
        require_there(source, what="file of cells", remedy="check the path")
    if options.append:
        raise ValueError("init writes files for a new store, got --append; leave it out")
    with Bar("init", unit="steps"):
        from sweeps.starting.start import start

        made = start(sources, folder, options=options, minutes=minutes, gpu=gpu)
    following = [
        ["scdfm", "ingest", *sources, str(made.store), *_spelled(options)],
        ["scdfm", "train", str(made.run), *(["--gpu"] if gpu else [])],
        ["scdfm", "evaluate", str(folder / "runs" / made.name)],
        ["scdfm", "tune", str(made.sweep), "--dry-run"],
    ]
    if json:
        show_json(
            {
                **made._asdict(),
                "split": made.split.model_dump(),
                "commands": [*map(shlex.join, following)],
            }
        )
        return
    show(f"wrote     {made.run} and {made.sweep}", "now run")
    show_commands(*([shlex.quote(word) for word in one] for one in following))


def _spelled(options: IngestOptions) -> list[str]:
    """Options that differ from their defaults, as a command line spells them."""
    told: list[str] = []
    usual = IngestOptions().model_dump(mode="json")
    for name, value in options.model_dump(mode="json", exclude={"overwrite"}).items():
        if value == usual[name]:
            continue
        option = _SPELLED.get(name, (f"--{name.replace('_', '-')}",))[0]
        told += _one(option, value)
    return told


def _one(option: str, value: Any) -> list[str]:
    if value is True:
        return [option]
    values = value if isinstance(value, list) else [value]
    return [word for one in values for word in (option, str(one))]
