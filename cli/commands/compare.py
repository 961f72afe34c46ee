"""The command that puts runs beside each other."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Commands, Json
from cli.show import comparison
from cli.show.progress import Bar
from cli.show.terminal import require_there, show, show_json
from cli.usage import example

app = Commands()


@app.command(epilog=example("scdfm compare runs/fold-0 runs/fold-1 runs/fold-2"))
def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN|MODEL...", help="What to compare.")],
    metrics: Annotated[
        str | None, typer.Option(help="Metrics to show: A,B (default: the main ones).")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Evaluate also what was evaluated before.")
    ] = False,
    json: Json = False,
) -> None:
    """Average runs over folds and seeds, beside the baselines.

    Runs that differ in split and seed alone are one row. A run that was not evaluated is evaluated
    first, and the result is kept.
    """
    for path in runs:
        require_there(path, what="run or model")
    with Bar("compare", unit="cells") as bar:
        from cluster.runs.find_model import models_below
        from cluster.storage.reading import fetched
        from cluster.work.compare import compare as compare_runs
        from cluster.work.compare import evaluated

        here = [fetched(path) for path in runs]
        each = (one for path in here for one in models_below(path) or [path])
        targets = [*{one.resolve(): one for one in each}.values()]
        found = compare_runs(targets, evaluated(targets, again=again, progress=bar.progress))
    if json:
        show_json(found)
    else:
        names = None if metrics is None else [name.strip() for name in metrics.split(",")]
        show(*comparison.pages(found, metrics=_known(names)))


def _known(names: list[str] | None) -> list[str] | None:
    from scdfm.metrics import METRICS

    return None if names is None else [METRICS.require(name) for name in names]
