"""What lies in a run's directory, and how it gets there whole.

Everything is in files, so that any process can continue what another began:

    run.yaml split.json genes.json graph.npz manifest.json   what the run is
    metrics.jsonl                                            what happened, a line for each event
    checkpoints/step-*/                                      the latest training state
    model/ best.json                                         the best model so far
    result.json                                              written last: the run is done
"""

import json
import math
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from cluster.runs.config import RunConfig
from scdfm.flow.checkpoint import discard_drafts

RUN, MANIFEST, RESULT, BEST, MODEL, CHECKPOINTS = (
    "run.yaml",
    "manifest.json",
    "result.json",
    "best.json",
    "model",
    "checkpoints",
)


class TrainResult(NamedTuple):
    """What training left behind."""

    directory: Path
    model: Path  # the best model
    best_step: int
    metrics: dict[str, float]  # of the validation round that chose the model
    finished: bool


def manifest(directory: Path) -> dict[str, Any]:
    """What a run was begun with; empty before that."""
    file = directory / MANIFEST
    facts: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    return facts


def result(run: RunConfig) -> TrainResult:
    """What a run has reached so far."""
    best = json.loads((run.directory / BEST).read_text())
    return TrainResult(
        directory=run.directory,
        model=run.directory / MODEL,
        best_step=best["step"],
        metrics={
            name: math.nan if value is None else value for name, value in best["metrics"].items()
        },
        finished=(run.directory / RESULT).is_file(),
    )


def latest_checkpoint(directory: Path) -> Path | None:
    """The newest whole training state of a run."""
    return max((directory / CHECKPOINTS).glob("step-*"), default=None)


def has_begun(directory: Path) -> bool:
    """Whether something was learnt there.

    Before that a run may still be changed, or it would be stuck with a setting that its machine
    refuses.
    """
    return latest_checkpoint(directory) is not None or (directory / RESULT).is_file()


def forget(directory: Path) -> None:
    """Remove what a finished or abandoned run no longer needs: its training states."""
    shutil.rmtree(directory / CHECKPOINTS, ignore_errors=True)


def discard_leftovers(directory: Path) -> None:
    """Remove half-written models and training states of a process that was killed."""
    discard_drafts(directory)
    discard_drafts(directory / CHECKPOINTS)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replace a file by facts, at once or not at all; NaN becomes null, since JSON has none."""
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(jsonable(content), indent=1))
    os.replace(draft, path)


def jsonable(value: Any) -> Any:
    """A value with null where a number is not finite."""
    if isinstance(value, dict):
        return {name: jsonable(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
