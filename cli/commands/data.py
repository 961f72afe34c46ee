"""Commands about cells: simulate, verify, inspect, export, split."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.errors import FAILED, FaultsError
from cli.names import as_given, from_text_or_file, labels_of
from cli.options import Commands, Json, Overwrite, options_of
from cli.show.progress import Bar
from cli.show.terminal import require_file, require_there, say, show, show_json
from cli.usage import example
from cluster.options import ExportOptions
from data_store.simulate_options import SimulateOptions
from scdfm.screen.conditions import Words
from scdfm.screen.names import apart, how_many
from scdfm.splits.config import SplitConfig

if TYPE_CHECKING:
    from cli.show.describe import Kind
    from data_store.store.integrity import Fault
    from scdfm.splits import Split

app = Commands()


@app.command(epilog=example("scdfm simulate screen.h5ad --cells 5000 --genes 1000 --seed 7"))
@options_of(SimulateOptions)
def simulate(
    out: Annotated[Path, typer.Argument(metavar="OUT.h5ad", help="The file to write.")],
    options: SimulateOptions,
    overwrite: Overwrite = False,
) -> None:
    """Write a simulated screen with known truth."""
    if out.suffix != ".h5ad":
        raise ValueError(f"expected a file name that ends in .h5ad, got {out}")
    from data_store import simulate as screens
    from data_store.disk.new_file import committed_file

    with committed_file(out, overwrite=overwrite) as partial:
        screens.simulate(options).write_h5ad(partial)
    single, double = options.design
    show(
        f"{out}: {how_many(options.cells, 'cell')} x {how_many(options.genes, 'gene')}, "
        f"{how_many(single, 'single')}, {how_many(double, 'double')}"
    )


@app.command(epilog=example("scdfm verify stores/norman.zarr", "scdfm verify runs/norman"))
def verify(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="STORE|RUN|SWEEP|MODEL|PREDICTION",
            help="A store, a run, a sweep, a model, or a predicted .zarr.",
        ),
    ],
    json: Json = False,
) -> None:
    """Read everything again and name the changed files.

    Of a run and a sweep these are the models, the training states and the plans. The exit status is
    1 if anything has changed.
    """
    require_there(path, what="store, run, sweep, model or prediction")
    from scdfm.screen.address import url_of

    place = url_of(path) or path
    if path.is_file():
        raise ValueError(
            f"expected a store, a run, a sweep, a model or a predicted .zarr, got the file {path}, "
            "which holds no hashes"
        )
    faults = _faults(path)
    if json:
        show_json({"path": str(place), "faults": [fault._asdict() for fault in faults]})
    elif not faults:
        show(f"{place}: nothing has changed since it was written")
    for fault in faults:
        say(f"scdfm: {place}: {fault.path}: {fault.problem}")
    if faults:
        raise FaultsError


def _faults(path: Path) -> "list[Fault]":
    """What has changed at a path."""
    from cli.show.describe import here, kind_of
    from data_store.store import integrity
    from scdfm.screen.address import url_of

    at = here(path, whole=True)
    with Bar("verify", unit="files") as bar:
        # A folder that is none of ours is refused as no store, with what is wrong with it.
        kind = "store" if url_of(at) or not _is_ours(at) else kind_of(at)
        if kind == "store":
            return integrity.verify(url_of(path) or path, progress=bar.progress)
        if kind == "prediction":
            from data_store import prediction

            return prediction.PredictionDirectory(at).verify()
        from cluster.runs.whole import verify as of_runs

        found = of_runs.verify(at, progress=bar.progress)
    if found.unsealed:
        every = found.directories + found.unsealed
        say(f"by an older version, without hashes: {found.unsealed} of {every} models and states")
    return [integrity.Fault(*one) for one in found.faults]


def _is_ours(path: Path) -> bool:
    from cli.show.describe import kind_of

    try:
        kind_of(path)
    except ValueError:
        return False
    return True


@app.command(
    epilog=example(
        "scdfm inspect stores/norman.zarr",
        "scdfm inspect runs/norman --json",
        "scdfm inspect runs/norman --follow",
        "scdfm inspect runs/sweep --follow",
    )
)
def inspect(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="STORE|RUN|SWEEP|MODEL|PREDICTION", help="The directory or file to look at."
        ),
    ],
    follow: Annotated[
        bool, typer.Option("--follow", help="Show a run or a sweep again and again, until it ends.")
    ] = False,
    json: Json = False,
) -> None:
    """Show what is in a store, run, sweep, model or prediction.

    A damaged model is an error. With --follow the exit status is 0 if the run or sweep is done at
    the end, else 1.
    """
    require_there(path, what="store, run, sweep, model or prediction")
    from cli.show.describe import describe, here, kind_of, pages, run_pages, sweep_pages

    path = here(path)
    kind = kind_of(path)
    if follow:
        raise typer.Exit(0 if _follow(path, kind, json=json) else FAILED)
    if kind == "sweep" and not json:
        show(*sweep_pages(path))
        return
    facts = describe(path)
    if json:
        show_json(facts)
    else:
        show(*(run_pages(path, facts) if kind == "run" else pages(facts)))
    if facts.get("damage"):
        say(f"scdfm: {facts['damage']}")
        raise FaultsError


def _follow(path: Path, kind: "Kind", *, json: bool) -> bool:
    from cli.show.following import follow

    if kind == "run":
        from cli.show.run.follow import FollowedRun

        return follow(FollowedRun(path), json=json)
    if kind == "sweep":
        from cli.show.sweep.follow import FollowedSweep

        return follow(FollowedSweep(path), json=json)
    raise ValueError(f"--follow is for a run or a sweep, and {path} is a {kind}; leave it out")


@app.command(
    epilog=example(
        "scdfm export stores/norman.zarr cells.h5ad --conditions control,KLF1",
        "scdfm export stores/norman.zarr real.h5ad --normalised --genes-of predicted.h5ad",
    )
)
@options_of(ExportOptions)
def export(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.h5ad", help="The file to write.")],
    options: ExportOptions,
) -> None:
    """Write cells of a store to an .h5ad file.

    Values, obs and var are those of the source. With --normalised --genes-of PREDICTION the file
    is the prediction's partner: its conditions, contexts, labels, genes and scale, and the control.
    """
    require_there(store, what="store")
    if options.genes_of is not None:
        require_there(options.genes_of, what="model or prediction")
    wanted = None
    if options.conditions is not None:
        wanted = from_text_or_file(
            options.conditions, column="condition", option="--conditions", known=labels_of(store)
        )
    with Bar("export", unit="cells") as bar:
        if options.genes_of is not None:
            from cluster.predict.partner import export_partner

            export_partner(
                store,
                out,
                of=options.genes_of,
                conditions=wanted,
                overwrite=options.overwrite,
                progress=bar.progress,
            )
        else:
            from data_store.store import export as exporting

            exporting.export(
                store,
                out,
                conditions=wanted,
                normalised=options.normalised,
                overwrite=options.overwrite,
                progress=bar.progress,
            )
    show(f"{out}")


@app.command(
    epilog=example(
        "scdfm split stores/norman.zarr --kind additive --fold 1 --out fold1.json",
        "scdfm split stores/norman.zarr --kind list --test KLF1+MAP2K6,KLF1+TGFBR2",
    )
)
@options_of(
    SplitConfig,
    defaults={"kind": "additive"},
    read={
        "test": partial(as_given, column="condition", option="--test"),
        "validation": partial(as_given, column="condition", option="--validation"),
    },
)
def split(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="A store.")],
    config: SplitConfig,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Divide conditions into train, validation and test."""
    require_file(out, suffixes=(".json",))
    require_there(store, what="store")
    if config.path is not None:
        require_there(config.path, what="file of a split")
    from cluster.runs.plan import contexts_of_conditions
    from data_store.store.reader import Store
    from scdfm.splits import make_split

    with Store.open(store) as cells:
        made = make_split(
            _with_names_apart(config, known=cells.words),
            conditions=cells.conditions,
            words=cells.words,
            contexts=contexts_of_conditions(cells),
        )
    if out is not None:
        _keep(made, out, overwrite=overwrite)
    if json:
        show_json(made)
    else:
        _show_split(made)


def _keep(split: "Split", out: Path, *, overwrite: bool) -> None:
    """Write a split; a file that holds this one stays, another is replaced if that is allowed."""
    from data_store.disk.new_file import committed_file

    if out.exists() and _holds(out, split):
        say(f"{out} holds this split already")
        return
    with committed_file(out, overwrite=overwrite) as draft:
        split.save(draft)
    say(f"written: {out}")


def _holds(path: Path, split: "Split") -> bool:
    from scdfm.splits import Split

    try:
        return Split.load(path) == split
    except ValueError:
        return False


def _with_names_apart(config: SplitConfig, *, known: Words) -> SplitConfig:
    """The configuration with A,B as two conditions, unless it is one label of the store."""
    lists = {"test": config.test, "validation": config.validation}
    each = {
        part: tuple(one for text in given for one in apart(text, known=known))
        for part, given in lists.items()
        if given is not None
    }
    return config.model_copy(update=each)


def _show_split(split: "Split") -> None:
    from collections import Counter

    from scdfm.splits.told import validation_in_words, validation_note

    tags = ", ".join(
        f"{count} {tag}" for tag, count in sorted(Counter(split.tags.values()).items())
    )
    where = f" in context {split.context}" if split.context is not None else ""
    show(
        f"train       {how_many(len(split.train), 'condition')}",
        f"validation  {validation_in_words(split)}",
        f"test        {how_many(len(split.test), 'condition')}{where} ({tags})",
    )
    if "_unseen" in tags:
        show("            N_unseen: N of its perturbations are in no training condition")
    note = validation_note(split)
    if note is not None:
        say(note)
