"""The command that writes what was found as a document."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.names import as_given
from cli.options import Commands, options_of
from cli.show.progress import Bar
from cli.show.terminal import require_file, require_folder, require_there, say, show
from cli.usage import example
from cluster.options import ReportOptions
from scdfm.screen.address import url_of

app = Commands()

Format = Literal["html", "md"]


@app.command(
    epilog=example(
        "scdfm report runs/norman", "scdfm report runs/a runs/b --out both.html --figures figures"
    )
)
@options_of(ReportOptions)
def report(
    targets: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN|SWEEP|EVALUATION",
            help="Runs, models, sweeps, or files of `evaluate --out`.",
        ),
    ],
    options: ReportOptions,
    out: Annotated[
        Path | None,
        typer.Option(help="File to write.", show_default="report.html in the first directory"),
    ] = None,
    format: Annotated[
        Format, typer.Option(help="One HTML file, or Markdown with its figures beside it.")
    ] = "html",
    figures: Annotated[
        Path | None, typer.Option(help="Folder for every figure as SVG and PDF, besides.")
    ] = None,
) -> None:
    """Write a report: one HTML file with tables and figures.

    It opens anywhere. A run that was not evaluated is evaluated first, and the result is kept with
    it.
    """
    for target in targets:
        require_there(target, what="run, sweep or evaluation")
    from cluster.storage.reading import fetched

    places, targets = targets, [fetched(target) for target in targets]
    for target in targets:
        _require_known(target)
    path = out or _beside(places[0], format)
    require_file(path, suffixes=(f".{format}",))
    if figures is not None:
        require_folder(figures)
        if figures.exists() and not figures.is_dir():
            raise NotADirectoryError(f"expected a folder for --figures, got the file {figures}")
    wanted: tuple[str, ...] = ()
    if options.conditions is not None:
        wanted = as_given(options.conditions, column="condition", option="--conditions")
    with Bar("report", unit="cells") as bar:
        from cluster.report.files import write_figures, write_page
        from sweeps.report import report as make

        page = make(targets, conditions=wanted, store=options.store, progress=bar.progress)
        write_page(page, path)
        if figures is not None:
            write_figures(page, figures)
            say(f"written: {figures}")
    show(f"report {path}")


def _require_known(target: Path) -> None:
    """Refuse what has no report before slow libraries load.

    Raises:
        FileNotFoundError, ValueError: It is not there, or not a run, a sweep or an evaluation.
    """
    from cluster.runs.find_model import SWEEP, model_directory

    if target.is_file():
        if target.suffix != ".json":
            raise ValueError(
                "expected a run, a sweep or a .json file of `evaluate --out`, got the file "
                f"{target}"
            )
    elif not (target / SWEEP).is_file():
        model_directory(target)


def _beside(target: Path, format: Format) -> Path:
    """Where the report of a target lies, if its reader does not say."""
    if url_of(target) is not None:
        return Path(f"{target.name}-report.{format}")
    return target / f"report.{format}" if target.is_dir() else target.with_suffix(f".{format}")
