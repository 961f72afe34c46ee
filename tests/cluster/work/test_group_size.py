"""How many workers there are, and that fewer of them learn the same."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from cluster.nodes.stall import Watchdog
from cluster.runs.begin import OpenRun
from cluster.runs.directory import RunDirectory
from cluster.settings.config import RunConfig, make_run
from cluster.settings.group_size import GroupSize
from cluster.train import train
from cluster.work.build import Place
from cluster.work.learn import learn
from tests.cluster.small import settings


@pytest.mark.parametrize(
    ("text", "size"), [("2", (2, 2)), ("1-4", (1, 4)), (" 3-3 ", (3, 3)), ("10-12", (10, 12))]
)
def test_a_number_or_a_range_is_read(text: str, size: tuple[int, int]) -> None:
    assert GroupSize.read(text) == size
    assert GroupSize.read(text).elastic == (size[0] < size[1])
    assert GroupSize.of(size) == size


@pytest.mark.parametrize("text", ["0", "0-2", "4-1", "two", "-3", "1-", "1.5", ""])
def test_anything_else_is_refused_with_both_forms(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as 2, or a range such as 1-4, got"):
        GroupSize.read(text)


def weights(run: RunConfig) -> dict[str, np.ndarray]:
    return load_file(run.directory / "model" / "model.safetensors")


def alone(run: RunConfig, *, most: int) -> None:
    """Train on this process as the only one of some workers."""
    opened = OpenRun(run)
    with opened.directory.held() as directory:
        opened.prepare(directory)
        assert learn(
            run,
            directory,
            place=Place(most=most),
            on_round=lambda outcome: True,
            report=lambda line: None,
            watchdog=Watchdog(),
        )


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("free_cores")
def test_one_worker_of_two_learns_what_two_do(tiny_store_path: Path, tmp_path: Path) -> None:
    training = {"steps": 6, "learning_rate": 1e-3, "validate_every": 3, "log_every": 1}
    two, one = (
        make_run(settings(tiny_store_path, tmp_path / name, training=training), where="test")
        for name in ("two", "one")
    )
    train(two, workers=(1, 2), cpus_per_worker=1)
    alone(one, most=2)
    by_two, by_one = weights(two), weights(one)
    for name, values in by_two.items():
        np.testing.assert_allclose(by_one[name], values, atol=1e-5, err_msg=name)
    journals = [list(RunDirectory(run.directory).journal.lines()) for run in (two, one)]
    losses = [[line["loss"] for line in lines if "loss" in line] for lines in journals]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    manifest = RunDirectory(two.directory).manifest
    assert manifest is not None
    assert [(how.workers, how.batches) for how in manifest.arithmetic] == [(2, 2)]
