"""What shows a run's curves must be able to do. Loads no client.

A watcher is called from a thread of its own, and only on the first worker: it may be slow or fail
without any harm to training.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from pydantic import BaseModel

End = Literal["done", "stopped", "failed"]


class Session(NamedTuple):
    """A run, as one of its sessions begins."""

    name: str  # such as "norman"; of a fold "norman/folds/0"
    group: str  # such as "norman", of its folds, too
    key: str  # the same in all sessions of a run, another for each run
    number: int  # of the session, from 1
    step: int | None  # what later steps had written is written again; None: all is
    directory: Path  # of the run
    settings: Mapping[str, Any]  # of the run, by dotted name


class Curves(Protocol):
    """Takes the values of one session."""

    def add(self, step: int, values: Mapping[str, float], *, when: float) -> None:
        """Show values.

        Args:
            step: Steps done.
            values: Numbers by name, such as "loss/cfm"; some may not be finite.
            when: Seconds since 1970.
        """
        ...

    def close(self, end: End) -> None:
        """Write what is left; the session is over."""
        ...


@runtime_checkable
class Watcher(Protocol):
    """A way to show curves; its settings are what `watch.NAME` of a run file may hold."""

    Settings: type[BaseModel]

    def require(self) -> None:
        """Refuse to work where its client is missing.

        Raises:
            ValueError: It is; says how to install it.
        """
        ...

    def open(self, session: Session, *, settings: Any) -> Curves:
        """Begin to show a session; may take long, or raise anything."""
        ...


def require_client(module: str, *, name: str) -> None:
    """Refuse a watcher whose client is not installed.

    Args:
        module: That is imported.
        name: Of the watcher, and of the extra that installs its client.

    Raises:
        ValueError: It is missing.
    """
    if find_spec(module) is None:
        raise ValueError(
            f"watch.{name} needs the package {module}, which is not installed; run "
            f"pip install 'scdfm[{name}]', or remove watch.{name}"
        )
