"""The command that judges a model on conditions it has not seen."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Commands, Json, options_of
from cli.show import report
from cli.show.progress import Bar
from cli.show.rescaled import rescaled
from cli.show.terminal import as_json, require_file, require_there, save, say, show, show_json
from cli.usage import example
from cluster.options import EvaluateOptions

app = Commands()


@app.command(
    epilog=example(
        "scdfm evaluate runs/norman --untrained --out evaluation.csv",
        "scdfm evaluate runs/norman --predictions GEARS=gears.h5ad",
        "scdfm evaluate --predictions GEARS=gears.h5ad --store stores/norman.zarr "
        "--split split.json",
    )
)
@options_of(EvaluateOptions)
def evaluate(
    target: Annotated[
        Path | None,
        typer.Argument(
            metavar="[RUN|MODEL|PREDICTION]",
            help="What to judge: a model, a run with one, or predicted cells. "
            "None: --predictions alone.",
            show_default=False,
        ),
    ] = None,
    *,
    options: EvaluateOptions,
    out: Annotated[Path | None, typer.Option(help="File to write, .json or .csv.")] = None,
    json: Json = False,
) -> None:
    """Compare predictions with real cells and with baselines.

    The conditions are those of the test part of the model's split; the cells are those that
    `scdfm predict` gives for the same seed. The result is kept beside the model, and what was
    evaluated before is read from there.
    """
    require_file(out, suffixes=(".json", ".csv"))
    if target is not None:
        require_there(target, what="run, model or prediction")
        from cluster.storage.reading import fetched

        target = fetched(target)
    _require(target, options)
    if target is not None and _show_splits(target, options, out=out, json=json):
        return
    with Bar("evaluate", unit="cells") as bar:
        from cluster.work.evaluate import evaluate as evaluate_target

        result = evaluate_target(
            target,
            store=options.store,
            split=options.split,
            predictions=options.files,
            metrics=options.metrics,
            profile=options.profile,
            cells=options.cells,
            seed=options.seed,
            repeats=options.repeats,
            untrained=options.untrained,
            precision=options.precision,
            gpu=options.gpu,
            again=options.again,
            progress=bar.progress,
        )
    if out is not None:
        save(as_json(result) if out.suffix == ".json" else report.as_csv(result.tables), out)
        say(f"written: {out}")
    if json:
        show_json(result)
    else:
        show(*report.pages(result.tables, differences=result.differences, mean=result.mean))
        show(*rescaled(result))
        show(*report.certainty(result))
        from cluster.work.evaluation.remarks import remarks

        for line in remarks(result):
            say(line)


def _require(target: Path | None, options: EvaluateOptions) -> None:
    """Refuse what is not there before torch is loaded."""
    for place, what in ((options.store, "store"), (options.split, "split")):
        if place is not None:
            require_there(place, what=what)
    for file in options.files.values():
        require_there(file, what="predictions")
    if target is not None:
        from cluster.runs.find_model import model_directory

        if target.suffix not in (".h5ad", ".zarr") and not _splits(target):
            model_directory(target)  # before torch is loaded


def _splits(target: Path) -> list[Path]:
    """The models of a sweep's splits, where that folder was named."""
    from cluster.runs.find_model import models_below

    return models_below(target)


def _show_splits(target: Path, options: EvaluateOptions, *, out: Path | None, json: bool) -> bool:
    """Evaluate the winner of a sweep on each of its splits, and show means over them."""
    below = _splits(target)
    if not below:
        return False
    if options.files or options.split is not None or (out is not None and out.suffix == ".csv"):
        raise ValueError(
            f"{target} holds the models of {len(below)} splits; evaluate them one by one for "
            "--predictions, --split or a .csv file"
        )
    with Bar("evaluate", unit="cells") as bar:
        from cli.show import comparison
        from cluster.work.comparison.compare import compare
        from cluster.work.evaluate import evaluate as evaluate_target

        asked = options.model_dump(exclude={"split", "predictions"})
        each = [evaluate_target(one, progress=bar.progress, **asked) for one in below]
        found = compare(below, each)
    if out is not None:
        save(as_json(found), out)
        say(f"written: {out}")
    if json:
        show_json(found)
    else:
        show(*comparison.pages(found, metrics=options.metrics))
    return True
