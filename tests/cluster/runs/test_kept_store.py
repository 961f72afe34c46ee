"""A process of many runs keeps one store open, and what was derived of it, until it changes."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from cluster.runs.stores.kept import KeptStore
from cluster.settings.config import make_run
from cluster.train import train_here
from cluster.work.channel import Channel
from data_store.store.reader import Store
from tests.cluster.small import settings


def files_open(store: Path) -> int:
    """Descriptors of this process below a folder, of files that are gone, too."""
    found = []
    for one in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # what listed them
            found.append(os.readlink(one))
    return sum(place.startswith(f"{store.resolve()}/") for place in found)


def nothing(made: object) -> int:
    return 0


@pytest.fixture
def store(tiny_store_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_store_path, tmp_path / "store"))


def test_it_is_opened_once_and_what_follows_from_it_is_made_once(store: Path) -> None:
    kept, made = KeptStore(), []
    for _ in range(3):
        with kept(store) as one:
            one.once("sum", lambda: made.append(1), size=nothing)
            one.expression(0, 4)
    with kept(store) as other:
        assert other is one
    assert made == [1]


def test_a_store_that_takes_its_place_is_opened_and_no_file_of_the_former_stays(
    store: Path, tiny_store_path: Path
) -> None:
    kept = KeptStore()
    with kept(store) as one:
        before = one.once("cells", lambda: "of the first", size=len)
        one.expression(0, 4)
    del one
    opened = files_open(store)
    assert opened > 0
    for _ in range(4):
        # The same bytes in another folder: files of the former may be gone.
        shutil.rmtree(store)
        shutil.copytree(tiny_store_path, store)
        with kept(store) as other:
            assert other.once("cells", lambda: "of another", size=len) != before
            assert np.isfinite(other.expression(0, 4)).all()
    assert files_open(store) <= opened
    shutil.rmtree(store)
    with pytest.raises(FileNotFoundError):
        kept(store)


def test_the_least_lately_used_is_forgotten(store: Path) -> None:
    made = []
    with Store.open(store) as one:
        for key in [*range(16), 0, 16, 0, 1]:
            one.once(key, lambda key=key: made.append(key), size=nothing)
    assert made == [*range(17), 1]


def test_what_takes_much_memory_is_forgotten_sooner_but_never_the_newest(store: Path) -> None:
    made = []

    def take(key: str, megabytes: int) -> None:
        one.once(key, lambda: made.append(key), size=lambda _: megabytes * 1024**2)

    with Store.open(store) as one:
        for key in "abab":
            take(key, 128)
        take("c", 1)  # 257 MB: a, the least lately used, goes
        for key in "bcbc":
            take(key, 128)
        take("a", 128)
        take("huge", 1000)
        take("huge", 1000)
        take("a", 128)
    assert made == ["a", "b", "c", "a", "huge", "a"]


def test_a_base_channel_is_as_large_as_its_numbers() -> None:
    given = {"one": torch.zeros(5, 7), "two": torch.zeros(3, dtype=torch.float64)}
    units = dict(enumerate(torch.zeros(4, 11)))
    assert Channel(given, units).bytes == 4 * 35 + 8 * 3 + 4 * 44


def test_runs_of_one_process_learn_what_each_learns_alone(store: Path, tmp_path: Path) -> None:
    """The second run reads the base channel that the first one has fitted."""
    model = {"width": 16, "layers": 1, "base_channel": True}
    training = {"steps": 2, "validate_every": 2, "learning_rate": 1e-3}
    changes = {"model": model, "training": training, "graph": {"kind": "none"}}
    kept, weights = KeptStore(), set()
    for opener, name in ((Store.open, "alone"), (kept, "first"), (kept, "second")):
        run = make_run(settings(store, tmp_path, **changes) | {"name": name}, where="test")
        trained = train_here(run, opener=opener)
        weights.add((trained.model / "model.safetensors").read_bytes())
    assert len(weights) == 1
