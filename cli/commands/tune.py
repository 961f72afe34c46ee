"""The command that searches for the best settings."""

import logging
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Address, Commands, Json
from cli.settings import Set, overrides
from cli.show import leaderboard
from cli.show.progress import Bar, SweepBar
from cli.show.tables import pairs
from cli.show.terminal import require_there, show, show_json
from cli.usage import example

if TYPE_CHECKING:
    from sweeps.schema.sweep import SweepConfig

app = Commands()
log = logging.getLogger(__name__)


@app.command(
    epilog=example(
        "scdfm tune sweep.yaml",
        "scdfm tune demo --dry-run",
        "scdfm tune demo --set budget.trials=8",
        "scdfm tune demo --extend 4",
    )
)
def tune(
    sweep: Annotated[
        str,
        typer.Argument(
            metavar="SWEEP.yaml|NAME", help="A sweep file, or the name of a shipped sweep."
        ),
    ],
    changes: Set = None,
    address: Address = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Say what it would try and cost, measured by a few steps, and end."
        ),
    ] = False,
    extend: Annotated[
        int | None,
        typer.Option(
            "--extend", min=1, help="Trials to add to a budget that is used up.", metavar="N"
        ),
    ] = None,
    new: Annotated[
        bool,
        typer.Option(
            "--new", help="Begin a fresh sweep beside one of the same name, as NAME-2, NAME-3."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Search settings and keep the best model.

    Run the command again to continue a sweep that was stopped.
    """
    from sweeps.schema.files import read_sweep

    config = read_sweep(sweep, overrides=overrides(changes))
    require_there(
        config.run({}, split=0).store,
        what="store",
        remedy="ingest it, or name it with --set base.store=PATH",
    )
    if new:
        config = _beside(config, extend=extend)
    if plan:
        _plan(config, address=address, extend=extend, json=json)
        return
    steps = None if "training.steps" in config.settings else config.run({}, split=0).training.steps
    with SweepBar(splits=len(config.splits), steps=steps) as bar:
        from sweeps.study import tune as tune_on_cluster

        result = tune_on_cluster(config, address=address, extend=extend, report=bar.report)
    if json:
        show_json(result._asdict())
        return
    first, further = config.objective, config.objective.further
    show(
        leaderboard.draw(
            result.leaderboard,
            metric=first.metric,
            mode=first.direction,
            further={one.metric: one.direction for one in further},
        ),
        f"best model   {result.best_model}",
        f"choice       {result.choice}",
        *([] if result.alike is None else [f"scores       {result.alike}"]),
        *([] if result.final is None else [f"final        {result.final.said}"]),
        f"leaderboard  {result.directory / 'leaderboard.csv'}",
    )


def _beside(config: "SweepConfig", *, extend: int | None) -> "SweepConfig":
    from sweeps.budget import beside

    if extend is not None:
        raise ValueError("--new begins a sweep and --extend goes on with one; give one of them")
    fresh = beside(config)
    if fresh.name != config.name:
        log.info("a fresh sweep, %s; to go on with it: --set name=%s", fresh.name, fresh.name)
    return fresh


def _plan(config: "SweepConfig", *, address: str | None, extend: int | None, json: bool) -> None:
    from cli.show import dry_run as shown

    with Bar("dry run", unit="configurations"):
        from sweeps.dry_run import NothingLeft, dry_run

        found = dry_run(config, address=address, extend=extend)
    if json:
        show_json(found)
    elif isinstance(found, NothingLeft):
        show(pairs(shown.ended(found)))
    else:
        show(*shown.pages(found))
