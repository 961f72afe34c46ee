"""TensorBoard: event files in the run's folder `tensorboard`, one for each session.

A session that goes on from a step first says so; TensorBoard then forgets what the sessions before
have written of later steps, so that no step stands there twice.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from cluster.watchers.watcher import Curves, End, Session, Watcher

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter

FOLDER = "tensorboard"


class TensorBoardSettings(BaseModel, frozen=True, extra="forbid"):
    """TensorBoard: event files in the run's folder."""


class TensorBoard(Watcher):
    """Writes event files."""

    Settings = TensorBoardSettings

    def require(self) -> None:
        """Its writer comes with scdfm."""

    def open(self, session: Session, *, settings: Any) -> Curves:
        """Begin the session's file."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        folder = session.directory / FOLDER
        folder.mkdir(exist_ok=True)
        file = EventsWriter(str(folder / "events"), f".{session.number}")
        first = 0 if session.step is None else session.step + 1
        begins = SessionLog(status=SessionLog.START)
        file.write_event(Event(step=first, session_log=begins))
        file.flush()
        return EventFile(file)


class EventFile(Curves):
    """The event file of a session."""

    def __init__(self, file: "EventsWriter") -> None:
        self._file = file

    def add(self, step: int, values: Mapping[str, float], *, when: float) -> None:
        """Write values and force them to the disk."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        numbers = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._file.write_event(Event(wall_time=when, step=step, summary=Summary(value=numbers)))
        self._file.flush()

    def close(self, end: End) -> None:
        """Close the file."""
        self._file.close()


TENSORBOARD = TensorBoard()
