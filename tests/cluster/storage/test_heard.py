"""Facts of what driver and workers of a run in an object store tell each other."""

import threading
import time

import pytest

from cluster.work.group import heard
from cluster.work.group.heard import in_time


def test_a_cluster_that_does_not_answer_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    began = time.monotonic()
    assert in_time(over.wait) is None
    assert time.monotonic() - began < 30  # without a limit it is a minute
    over.set()
    monkeypatch.setattr(heard, "_SOON", 60.0)
    assert in_time(lambda: "step 3 is kept") == "step 3 is kept"
