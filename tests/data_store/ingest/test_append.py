"""A store that grows keeps every version it ever was."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from anndata.io import read_zarr

from data_store.ingest.write import IngestOptions, ingest
from data_store.store.integrity import verify
from data_store.store.reader import Store
from data_store.store.schema import Manifest
from data_store.store.versions import versions
from tests.data_store.cells import adata, listening, logged, written

FIRST = ("ctrl", "ctrl", "A", "A", "A+B", "B")
SECOND = ("ctrl", "B", "B", "A+B", "ctrl")


def screen(labels: Sequence[str], *, prefix: str, **options: Any) -> anndata.AnnData:
    cells = adata(labels, genes=["A", "B", "C", "D"], **options)
    cells.obs_names = [f"{prefix}{name}" for name in cells.obs_names]
    return cells


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return written(screen(FIRST, prefix="a"), tmp_path, "first.h5ad")


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return written(screen(SECOND, prefix="b"), tmp_path, "second.h5ad")


def grow(sources: Path | list[Path], store: Path, **options: object) -> tuple[Manifest, list[str]]:
    said: list[str] = []
    told = IngestOptions.model_validate({"append": True, **options})
    with listening(said.append):
        return ingest(sources, store, options=told), said


def expression(store: Path, **which: Any) -> pd.DataFrame:
    with Store.open(store, **which) as cells:
        stop = cells.manifest.cells
        return pd.DataFrame(
            cells.expression(0, stop), index=cells.obs(0, stop).index, columns=cells.genes
        )


def test_appended_cells_are_those_of_all_files(first: Path, second: Path, tmp_path: Path) -> None:
    store, together = tmp_path / "store", tmp_path / "together"
    ingest(first, store)
    grow(second, store)
    ingest([first, second], together)
    found, expected = expression(store), expression(together)
    pd.testing.assert_frame_equal(found.sort_index(), expected.sort_index())
    with Store.open(store) as grown, Store.open(together) as made:
        assert grown.units == made.units
        for unit in range(len(grown.units)):
            totals = [store.moments.row("total", unit) for store in (grown, made)]
            np.testing.assert_allclose(*totals, rtol=1e-6)
        assert [source.name for source in grown.manifest.sources] == ["first.h5ad", "second.h5ad"]
    assert verify(store) == []
    assert read_zarr(store / "cells.zarr").n_obs == len(FIRST) + len(SECOND)


def test_an_old_version_opens_by_its_fingerprint_with_the_same_cells(
    first: Path, second: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    before = ingest(first, store).fingerprint
    expected = expression(store)
    after = grow(second, store)[0].fingerprint
    third = written(screen(["ctrl", "C"], prefix="c"), tmp_path, "third.h5ad")
    newest = grow(third, store)[0].fingerprint
    assert [v.manifest.fingerprint for v in versions(store)] == [before, after, newest]
    pd.testing.assert_frame_equal(expression(store, fingerprint=before), expected)
    assert len(expression(store, fingerprint=after)) == len(FIRST) + len(SECOND)
    assert len(expression(store, fingerprint=newest)) == len(expression(store))
    assert verify(store) == []


def test_a_version_that_is_not_there_is_refused(first: Path, tmp_path: Path) -> None:
    newest = ingest(first, tmp_path / "store").fingerprint
    with pytest.raises(ValueError, match=f"expected version 0123.*got {newest[:12]} as its newest"):
        Store.open(tmp_path / "store", fingerprint="0123" * 16)


def test_who_reads_the_old_version_goes_on_with_its_values(
    first: Path, second: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    ingest(first, store)
    expected = expression(store)
    with Store.open(store) as reader:
        grow(second, store)
        np.testing.assert_array_equal(reader.expression(0, len(FIRST)), expected.to_numpy())
        assert list(reader.obs(0, len(FIRST)).index) == list(expected.index)


def test_a_file_is_appended_once(first: Path, second: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ingest(first, store)
    manifest, _ = grow(second, store)
    again, said = grow([first, second], store)
    assert again == manifest
    assert said[0] == "first.h5ad: skipped, the store holds it as first.h5ad"
    assert said[-1] == f"{store} already holds these cells"
    assert len(versions(store)) == 2


def test_cells_with_names_of_the_store_get_the_name_of_their_file(
    first: Path, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    ingest(first, store)
    same = written(screen(("ctrl", "B", "A"), prefix="a"), tmp_path, "same.h5ad")
    _, said = grow(same, store)
    assert any("3 of same.h5ad occur in the store" in line for line in said)
    assert {"ac0", "ac0-same"} <= set(expression(store).index)


def test_library_sizes_stay_what_they_were_counted_over(tmp_path: Path) -> None:
    counts = np.array([[1, 2, 0, 9], [3, 0, 0, 9], [1, 1, 0, 9], [2, 2, 1, 9]])
    cells = screen(["ctrl", "ctrl", "A", "B"], prefix="a", counts=counts)
    store = tmp_path / "store"
    ingest(written(cells, tmp_path, "one.h5ad"), store, options=IngestOptions(min_cells=2))
    other = screen(["ctrl", "B"], prefix="b", counts=counts[:2])
    grow(written(other, tmp_path, "two.h5ad"), store, join="intersect")
    found = read_zarr(store / "cells.zarr")
    assert list(found.var_names) == ["A", "B", "D"]
    sizes = dict(found.obs["library_size"].astype(int))
    assert [sizes[f"ac{k}"] for k in range(4)] == counts.sum(axis=1).tolist()


def test_a_source_column_with_our_name_survives(tmp_path: Path) -> None:
    store = tmp_path / "store"
    for prefix in "ab":
        cells = screen(FIRST, prefix=prefix, library_size=np.arange(6.0) + 1)
        path = written(cells, tmp_path, f"{prefix}.h5ad")
        ingest(path, store, options=IngestOptions(append=prefix == "b"))
    obs = read_zarr(store / "cells.zarr").obs
    numbers = [int(name[2:]) + 1 for name in obs.index]
    np.testing.assert_array_equal(obs["library_size_of_source"], numbers)


def test_log_values_are_appended_to_log_values_alone(tmp_path: Path, second: Path) -> None:
    cells = logged(screen(FIRST, prefix="a"))
    store = tmp_path / "store"
    ingest(written(cells, tmp_path, "logs.h5ad"), store)
    more = logged(screen(SECOND, prefix="b"))
    grow(written(more, tmp_path, "more.h5ad"), store)
    assert len(expression(store)) == len(FIRST) + len(SECOND)
    assert verify(store) == []


def test_conditions_that_were_left_out_stay_out(first: Path, second: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ingest(first, store, options=IngestOptions(exclude=("B",)))
    grow(second, store)
    with Store.open(store) as cells:
        assert set(cells.conditions) == {"A", "A+B"}


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"seed": 5}, r"got --seed 5 where it was 0; leave the option out"),
        ({"control": ("A",)}, r"got --control A where it was control,ctrl"),
        ({"condition_column": "other"}, r"--condition-column other where it was condition"),
        ({"genes": 3}, r"got --genes 3; leave the option out"),
    ],
)
def test_options_that_contradict_the_store_are_refused(
    first: Path, second: Path, tmp_path: Path, options: dict[str, object], complaint: str
) -> None:
    store = tmp_path / "store"
    before = ingest(first, store)
    with pytest.raises(ValueError, match=complaint):
        grow(second, store, **options)
    assert [v.manifest for v in versions(store)] == [before]


def test_appending_needs_a_store(first: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="expected a store at"):
        grow(first, tmp_path / "none")
    assert [path.name for path in tmp_path.iterdir()] == ["first.h5ad"]


def test_two_appends_at_once_lose_no_cells(first: Path, second: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ingest(first, store)
    third = written(screen(["ctrl", "C"], prefix="c"), tmp_path, "third.h5ad")
    begun: list[Path] = []

    def meanwhile(line: str) -> None:
        # Once: the other append says the same line.
        if line.startswith("append: to 6 cells") and third not in begun:
            begun.append(third)
            grow(third, store)

    with (
        listening(meanwhile),
        pytest.raises(ValueError, match="another process added cells"),
    ):
        ingest(second, store, options=IngestOptions(append=True))
    assert grow(second, store)[0].cells == len(FIRST) + 2 + len(SECOND)
    assert len(versions(store)) == 3


def test_a_damaged_old_version_is_named(first: Path, second: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    ingest(first, store)
    grow(second, store)
    (folder,) = (version.folder for version in versions(store) if version.folder)
    shard = store / folder / "cells.zarr" / "X" / "data" / "c" / "0"
    raw = bytearray(shard.read_bytes())
    raw[3] ^= 1
    shard.unlink()
    shard.write_bytes(raw)
    (fault,) = verify(store)
    assert fault.path == f"{folder}/cells.zarr/X/data/c/0"


# Kills itself at the n-th call of one of the few functions that change names.
PROGRAM = """
import os, signal, sys
from pathlib import Path
from data_store.publish import swap
from data_store.ingest.write import IngestOptions, ingest

left = int(sys.argv[3])

def deadly(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call

if sys.argv[4] == "renames":
    swap.exchange = lambda first, second: False
for name in ("exchange", "remove", "_link_versions", "_give_back"):
    setattr(swap, name, deadly(getattr(swap, name)))
Path.rename = deadly(Path.rename)
swap.shutil.rmtree = deadly(swap.shutil.rmtree)
ingest(Path(sys.argv[1]), Path(sys.argv[2]), options=IngestOptions(append=True))
"""


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("way", ["exchange", "renames"])
def test_killed_at_any_step_of_the_exchange_the_store_is_old_or_new(
    first: Path, second: Path, tmp_path: Path, way: str
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    begun, grown = tmp_path / "begun", tmp_path / "grown"
    before = ingest(first, begun).fingerprint
    shutil.copytree(begun, grown)
    after = grow(second, grown)[0].fingerprint
    seen = set()
    for step in range(30):
        store = home / "store"
        shutil.copytree(begun, store)
        killed = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PROGRAM, second, store, str(step), way],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=False,
        )
        if store.exists() or way == "exchange":
            with Store.open(store) as cells:
                seen.add(cells.fingerprint)
            with Store.open(store, fingerprint=before) as cells:
                assert cells.manifest.cells == len(FIRST)
        grow(second, store)
        assert [v.manifest.fingerprint for v in versions(store)] == [before, after]
        assert verify(store) == []
        assert [path.name for path in home.iterdir()] == ["store"]
        shutil.rmtree(store)
        if killed.returncode == 0:
            break
        assert killed.returncode == -signal.SIGKILL
    assert killed.returncode == 0, "more steps than were tried"
    assert step > 4
    assert seen == {before, after}
