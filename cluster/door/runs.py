"""Train and predict from a notebook: what the commands do, with plain values instead of files."""

import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from cluster.door.model import TrainedModel, load_model
from cluster.door.settings import filled, keywords_of
from cluster.predict.options import PredictionRequest
from cluster.runs.directory import RunDirectory, TrainResult
from cluster.runs.records import Line
from cluster.runs.whole.first_weights import warn_if_untrained
from cluster.settings.config import RunConfig, make_run, read_run
from data_store.store.reader import Store

log = logging.getLogger(__name__)


class TrainedRun:
    """What training left behind.

    Attributes:
        directory: The run's.
        best_step: Step of the best model.
        metrics: Of the validation round that chose it.
        finished: Whether all steps were done.
    """

    def __init__(self, result: TrainResult) -> None:
        self.directory = result.directory
        self.best_step = result.best_step
        self.metrics = result.metrics
        self.finished = result.finished
        self._path = result.model

    @cached_property
    def model(self) -> TrainedModel:
        """The best model, loaded."""
        return load_model(self._path)

    @property
    def history(self) -> pd.DataFrame:
        """What was logged: a row for each step and each validation round, `validation.mse`, ..."""
        return pd.json_normalize([dict(one) for one in RunDirectory(self.directory).history()])

    def __repr__(self) -> str:
        scores = ", ".join(f"{name} {value:.5g}" for name, value in self.metrics.items())
        return f"TrainedRun({str(self.directory)!r}: best step {self.best_step}, {scores})"


def train(
    run: RunConfig | Mapping[str, Any] | str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    workers: int | tuple[int, int] | None = None,
    cpus_per_worker: int | None = None,
    gpu: bool = False,
    address: str | None = None,
    report: Callable[[Line], None] | None = None,
) -> TrainedRun:
    """Train a run; continue it when it was begun, return when it is done.

    Args:
        run: Settings, as a dict with the names of a run file, or a run file.
        overrides: Values by dotted name, such as {"model.width": 256}.
        workers: Ray workers that share each step, or the fewest and the most, of which as many
            train as there is room for; none: train in this process, without Ray.
        cpus_per_worker: Cores of each; none: an equal share of the cluster.
        gpu: Train on a GPU; with workers, one for each.
        address: Of a Ray cluster, with workers; none: RAY_ADDRESS, else Ray starts here.
        report: Receives every line of metrics.jsonl; none: validation rounds are logged.

    Raises:
        FileNotFoundError: No such file or store.
        ValueError: Settings that could not run, or another run's directory; in one line.
        RuntimeError: Training failed.
    """
    # Ray is imported by whoever trains, and takes seconds.
    from cluster import train as training

    config, report = as_run(run, overrides=overrides), report or _tell
    if workers is None and address is None:
        device = "cuda" if gpu else "cpu"
        result = training.train_here(config, device=device, report=report)
        warn_if_untrained(result.model, run=RunDirectory(result.directory))
        return TrainedRun(result)
    return TrainedRun(
        training.train(
            config,
            report=report,
            workers=workers or 1,
            cpus_per_worker=cpus_per_worker,
            gpu=gpu,
            address=address,
        )
    )


def _tell(line: Line) -> None:
    """Log a validation round; `logging.basicConfig(level="INFO")` shows it."""
    scores = [f"{name} {v:.5g}" for name, v in line.get("validation", {}).items() if v is not None]
    if scores:
        part = f"fold {line['fold']} of {line['folds']}, " if "fold" in line else ""
        part = f"member {line['member']} of {line['members']}, " if "member" in line else part
        log.info("%sstep %d of %d: %s", part, line["step"], line["steps"], ", ".join(scores))


def as_run(
    run: RunConfig | Mapping[str, Any] | str | Path, *, overrides: Mapping[str, Any] | None = None
) -> RunConfig:
    """A run from settings, a run file, or a run that is there.

    Raises:
        FileNotFoundError, ValueError: No such file, or settings that could not run.
    """
    changes = dict(overrides or {})
    if isinstance(run, RunConfig):
        return make_run(run.model_dump(mode="json"), where="run", overrides=changes)
    if isinstance(run, Mapping):
        return make_run(dict(run), where="run", overrides=changes)
    return read_run(Path(run), overrides=changes)


@keywords_of(PredictionRequest, given=("model", "store"))
def predict(
    model: TrainedModel | str | Path,
    *,
    store: str | Path | Store,
    actors: int = 1,
    gpu: bool = False,
    address: str | None = None,
    summary: str | Path | None = None,
    **settings: Any,
) -> Path:
    """Predict many cells by Ray actors, into a file; continue when it was begun.

    For cells in memory see the model's own `predict`, which needs no Ray.

    Args:
        model: A trained model, or the path of a run, a sweep or a model.
        store: Whose controls to start from.
        actors: Ray actors that share the work, one core each.
        gpu: A GPU for each actor.
        address: Of a Ray cluster; none: RAY_ADDRESS, else Ray starts here.
        summary: File for the mean of each gene in each condition, .csv or .parquet.
        **settings: Of `scdfm predict`: conditions, out (.h5ad or .zarr), cells, contexts, genes,
            seed, precision.

    Returns:
        The file that was asked for, complete.

    Raises:
        ValueError: Model, store, conditions, contexts or genes do not fit together; in one line.
        FileExistsError: Something else stands at `out`.
    """
    from cluster.predict import actors as pool

    where = {
        "model": model.path if isinstance(model, TrainedModel) else model,
        "store": str(store.path if isinstance(store, Store) else store),
    }
    request = filled(PredictionRequest, {**settings, **where}, where="predict")
    table = None if summary is None else Path(summary)
    return pool.predict(request, actors=actors, gpu=gpu, address=address, summary=table)
