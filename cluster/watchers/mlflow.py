"""MLflow, by its own client: a run in an experiment, on a server, in a folder or a database.

A session that goes on finds its run there by a tag. MLflow keeps every value that it is given, so
steps that it has already are left out; their values would be the same.
"""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field

from cluster.watchers.watcher import Curves, End, Session, Watcher, require_client

_KEY = "scdfm.key"  # tag
_PARAMETERS = 100  # that one call may hold
_LONGEST = 500  # characters of a parameter
_STATUS = {"done": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}


class MlflowSettings(BaseModel, frozen=True, extra="forbid"):
    """MLflow: where its runs are, and which experiment a run belongs to."""

    tracking_uri: str | None = Field(
        default=None,
        description="Server, sqlite:///FILE or folder (default: MLFLOW_TRACKING_URI, or MLflow's)",
    )
    experiment: str = Field(default="scdfm", description="Experiment that the run belongs to")


class Mlflow(Watcher):
    """Sends values by MLflow's client."""

    Settings = MlflowSettings

    def require(self) -> None:
        """Refuse to work without the client.

        Raises:
            ValueError: It is not installed.
        """
        require_client("mlflow", name="mlflow")

    def open(self, session: Session, *, settings: Any) -> Curves:
        """Begin the run, or find and continue it."""
        from mlflow import MlflowClient

        client = MlflowClient(tracking_uri=settings.tracking_uri)
        known = client.get_experiment_by_name(settings.experiment)
        experiment = known.experiment_id if known else client.create_experiment(settings.experiment)
        found = client.search_runs([experiment], f"tags.`{_KEY}` = '{session.key}'")
        if found:
            run = found[0].info.run_id
            client.update_run(run, status="RUNNING")
        else:
            tags = {_KEY: session.key, "scdfm.group": session.group}
            run = client.create_run(experiment, tags=tags, run_name=session.name).info.run_id
            _log_settings(client, run, session.settings)
        return MlflowRun(client, run)


def _log_settings(client: Any, run: str, settings: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    every = [Param(name, str(value)[:_LONGEST]) for name, value in settings.items()]
    for first in range(0, len(every), _PARAMETERS):
        client.log_batch(run, params=every[first : first + _PARAMETERS])


class MlflowRun(Curves):
    """A run of MLflow."""

    def __init__(self, client: Any, run: str) -> None:
        self._client, self._run = client, run
        self._last: dict[str, int] = {}  # step that MLflow has of each value

    def add(self, step: int, values: Mapping[str, float], *, when: float) -> None:
        """Log values of a step that MLflow has not."""
        from mlflow.entities import Metric

        new = [
            Metric(name, value, round(1_000 * when), step)
            for name, value in values.items()
            if math.isfinite(value) and step > self._newest(name)
        ]
        if new:
            self._client.log_batch(self._run, metrics=new)

    def _newest(self, name: str) -> int:
        if name not in self._last:
            history = self._client.get_metric_history(self._run, name)
            self._last[name] = max((one.step for one in history), default=-1)
        return self._last[name]

    def close(self, end: End) -> None:
        """Say how the session ended."""
        self._client.set_terminated(self._run, status=_STATUS[end])


MLFLOW = Mlflow()
