"""Facts of what driver and workers of a run in an object store tell each other."""

import threading
import time

from cluster.work.group.heard import in_time


def test_a_cluster_that_does_not_answer_holds_nobody_up() -> None:
    over = threading.Event()
    began = time.monotonic()
    assert in_time(over.wait) is None
    assert time.monotonic() - began < 3
    over.set()
    assert in_time(lambda: "step 3 is kept") == "step 3 is kept"
