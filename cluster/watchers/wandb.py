"""Weights & Biases, by its own client; `wandb login` or its variables say who is logged in.

A session that goes on continues the same run there. It repeats some steps with the same values,
and W&B takes no step that is not newer than its last, so none stands there twice.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, Field

from cluster.watchers.watcher import Curves, End, Session, Watcher, require_client


class WandbSettings(BaseModel, frozen=True, extra="forbid"):
    """Weights & Biases: which project a run belongs to."""

    project: str = Field(default="scdfm", description="Project that the run belongs to")
    entity: str | None = Field(
        default=None, description="User or team that owns the project (default: as logged in)"
    )
    mode: Literal["online", "offline"] = Field(
        default="online", description="offline: into the run's folder, for `wandb sync`"
    )


class Wandb(Watcher):
    """Sends values by W&B's client."""

    Settings = WandbSettings

    def require(self) -> None:
        """Refuse to work without the client.

        Raises:
            ValueError: It is not installed.
        """
        require_client("wandb", name="wandb")

    def open(self, session: Session, *, settings: Any) -> Curves:
        """Begin the run, or continue it."""
        import wandb

        # The client would draw on the terminal, and take over standard output.
        quiet = wandb.Settings(console="off", silent=True, x_disable_stats=True)
        return WandbRun(
            wandb.init(
                project=settings.project,
                entity=settings.entity,
                mode=settings.mode,
                dir=str(session.directory),
                id=session.key,
                name=session.name,
                group=session.group,
                config=dict(session.settings),
                resume="allow",
                settings=quiet,
            )
        )


class WandbRun(Curves):
    """A run of W&B."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def add(self, step: int, values: Mapping[str, float], *, when: float) -> None:
        """Log values; W&B draws no number that is not finite."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        self._run.log(finite, step=step)

    def close(self, end: End) -> None:
        """Send what is left; W&B calls a run that ended otherwise crashed."""
        self._run.finish(exit_code=1 if end == "failed" else 0)


WANDB = Wandb()
