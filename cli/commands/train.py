"""The command that trains one model."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Address, Commands, Json, options_of
from cli.settings import Set, overrides
from cli.show.numbers import numbers
from cli.show.progress import TrainingBar
from cli.show.terminal import require_there, show, show_json
from cli.usage import example
from cluster.options import TrainOptions
from scdfm.screen.address import url_of

app = Commands()


@app.command(epilog=example("scdfm train run.yaml --set model.width=256 --workers 2"))
@options_of(TrainOptions)
def train(
    run: Annotated[
        Path, typer.Argument(metavar="RUN.yaml", help="Run file: what to train, on which store.")
    ],
    options: TrainOptions,
    changes: Set = None,
    address: Address = None,
    json: Json = False,
) -> None:
    """Train a model.

    Run the command again to resume a run that was stopped.
    """
    from cluster.settings.config import read_run

    given = overrides(changes)
    if options.ensemble is not None:
        given["ensemble"] = options.ensemble
    config = read_run(run, overrides=given)
    require_there(config.store, what="store", remedy="ingest it, or name it with --set store=PATH")
    # A run that was begun has its own copy of what they held.
    if url_of(config.output) is None and not config.directory.exists():
        for setting, place in (
            ("split.path", config.split.path),
            ("graph.path", config.graph.path),
            ("init_from", config.init_from),
        ):
            if place is not None:
                require_there(place, what=setting)
    with TrainingBar(validate_every=config.training.validate_every) as bar:
        from cluster.settings.group_size import GroupSize
        from cluster.train import train as train_on_cluster

        result = train_on_cluster(
            config,
            workers=GroupSize.read(options.workers),
            cpus_per_worker=options.cpus_per_worker,
            gpu=options.gpu,
            address=address,
            report=bar.report,
        )
    if json:
        show_json(result._asdict())
        return
    several = f", the median of {config.ensemble} members" if config.ensemble else ""
    show(
        f"run         {result.directory}",
        f"best step   {result.best_step}{several}",
        f"validation  {numbers(result.metrics) or 'none'}",
        f"model       {result.model}",
    )
