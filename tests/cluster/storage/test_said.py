"""Facts of the log of a run in an object store."""

from pathlib import Path
from threading import Event
from typing import Any

from cluster.runs.history.said import _Sender


class Slow:
    """A store that is still taking the first lines when the last ones are written."""

    def __init__(self) -> None:
        self.begun, self.go_on = Event(), Event()
        self.content = b""

    def put(self, name: str, content: bytes) -> None:
        """Write a file."""
        self.begun.set()
        self.go_on.wait(60)
        self.content = content


def test_lines_that_are_written_while_others_are_sent_are_sent_too(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text("begins\n")
    store: Any = Slow()
    sender = _Sender(log, store)
    sender.new.set()
    assert store.begun.wait(60)
    log.write_text("begins\nends\n")
    sender.over = True
    sender.new.set()
    store.go_on.set()
    sender.thread.join(60)
    assert store.content == b"begins\nends\n"
