"""The command that puts runs beside each other."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Commands, Json
from cli.show import comparison
from cli.show.progress import Bar
from cli.show.terminal import require_there, say, show, show_json
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
    names = _known(metrics)
    with Bar("compare", unit="cells") as bar:
        from cluster.storage.reading import fetched
        from cluster.work.comparison.compare import compare as compare_runs
        from cluster.work.comparison.evaluated import evaluated
        from cluster.work.comparison.targets import distinct

        targets = distinct([fetched(path) for path in runs])
        each_of = evaluated(targets, metrics=names, again=again, progress=bar.progress)
        found = compare_runs(targets, each_of)
    if json:
        show_json(found)
    else:
        show(*comparison.pages(found, metrics=names))
        for line in comparison.lacking(found, metrics=names):
            say(line)


def _known(text: str | None) -> list[str] | None:
    """The metrics that were named.

    Raises:
        ValueError: One does not exist (names the nearest).
    """
    if text is None:
        return None
    from scdfm.metrics import METRICS

    return [METRICS.require(name.strip()) for name in text.split(",") if name.strip()]
