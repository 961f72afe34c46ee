"""Two workers that share the units of a round."""

import subprocess
import sys
from pathlib import Path

import pytest

# A worker that has its units waits for the other, which was asked to stop in the middle of its own.
WORKER = """
import sys
from pathlib import Path
import numpy as np
import torch.distributed as dist
from cluster.work.build import Place
from cluster.work.group.shared import PausedError, together
from scdfm.metrics import Pseudobulks

rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
place = Place(rank=rank, world=2)
values = np.full((1, 2), rank)
own = Pseudobulks(
    contexts=("",), conditions=(str(rank),), genes=("a", "b"), predicted=values, real=values,
    control=values,
)
print(together(own, place=place).conditions)
try:
    stopped = PausedError("a step is kept") if rank else None
    together(None if rank else own, place=place, paused=stopped)
except PausedError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_round_that_one_worker_breaks_off_ends_for_the_other_too(tmp_path: Path) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(rank), str(tmp_path / "meet")],
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    first, second = (worker.communicate(timeout=100)[0].splitlines() for worker in workers)
    assert first == ["('0', '1')", "another worker was asked to stop"]
    assert second == ["('0', '1')", "a step is kept"]
