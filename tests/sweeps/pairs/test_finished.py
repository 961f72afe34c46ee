"""What one sweep has trained another one copies, if nothing that decides values differs."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from cluster.runs.directory import RunDirectory
from cluster.settings.config import RunConfig
from cluster.storage import mirror, places
from data_store.ingest.write import IngestOptions, ingest
from data_store.simulate import SimulateOptions, simulate
from data_store.store.reader import Store
from scdfm.flow.files import WEIGHTS
from scdfm.gene_graph.config import GraphConfig
from scdfm.splits import SplitConfig
from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.objective import run_trial
from sweeps.pairs.finished import FOLDER, FinishedPairs
from sweeps.proposals.cells import check_data
from sweeps.space import split_run

pytestmark = pytest.mark.slow

CONTEXT = IngestOptions(context_column="context")
GROWN = IngestOptions(context_column="context", append=True)


def reports(sweep: SweepConfig) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    run_trial(sweep.baseline, sweep=sweep, report=lines.append)
    return lines


def taken(sweep: SweepConfig) -> list[bool]:
    return ["taken" in line for line in reports(sweep) if "score" in line]


@pytest.fixture
def far(one_split: SweepConfig, bucket: str) -> SweepConfig:
    """The same sweep in an object store."""
    values = one_split.model_dump(mode="json", exclude_unset=True)
    return SweepConfig.model_validate(values | {"output": f"{bucket}/runs"})


@pytest.fixture
def one_split(tiny_sweep: SweepConfig) -> SweepConfig:
    return tiny_sweep.model_copy(update={"splits": tiny_sweep.splits[:1]})


def test_another_sweep_copies_what_is_trained_and_trains_what_is_not(
    tiny_sweep: SweepConfig, one_split: SweepConfig
) -> None:
    assert taken(one_split) == [False]
    other = tiny_sweep.model_copy(update={"name": "other"})
    lines = reports(other)
    own = split_run(one_split, one_split.baseline, split=0)
    assert [line.get("taken") for line in lines if "score" in line] == [str(own.directory), None]
    copied = RunDirectory(split_run(other, other.baseline, split=0).directory)
    first = RunDirectory(own.directory)
    assert copied.finished
    assert copied.seconds == 0
    assert copied.model is not None
    assert first.model is not None
    assert (copied.model / WEIGHTS).read_bytes() == (first.model / WEIGHTS).read_bytes()
    assert copied.settings.directory == copied.path
    # The same values at the same rungs as one that trains it all by itself.
    alone = reports(tiny_sweep.model_copy(update={"name": "alone", "reuse": False}))
    assert [{**line, "taken": None} for line in lines] == [
        {**line, "taken": None} for line in alone
    ]
    assert taken(other) == [False, False]  # nothing is left to take


@pytest.mark.parametrize(
    "change",
    [
        lambda sweep: {"reuse": False},
        lambda sweep: {"base": sweep.base | {"seed": 9}},
        lambda sweep: {"splits": (sweep.splits[0].model_copy(update={"seed": 9}),)},
        lambda sweep: {"resources": sweep.resources.model_copy(update={"cpu": 2})},
        lambda sweep: {"base": sweep.base | {"threads": 2}},
    ],
    ids=["refused", "seed", "split", "cores", "threads"],
)
def test_what_differs_is_trained(one_split: SweepConfig, change: Any) -> None:
    assert taken(one_split) == [False]
    other = one_split.model_copy(update={"name": "other", **change(one_split)})
    assert taken(other) == [False]


def test_files_that_a_run_names_count_by_their_content(
    one_split: SweepConfig, tmp_path: Path
) -> None:
    pairs = FinishedPairs(one_split, fingerprint="f" * 64)
    run = split_run(one_split, one_split.baseline, split=0)

    def keys(name: str, content: str) -> list[str | None]:
        (tmp_path / name).mkdir()
        for file in ("edges.csv", "split.json", "model.json", WEIGHTS):
            (tmp_path / name / file).write_text(content)
        changes: list[dict[str, Any]] = [
            {"graph": GraphConfig(kind="edges", path=tmp_path / name / "edges.csv")},
            {"split": SplitConfig(kind="file", path=tmp_path / name / "split.json")},
            {"init_from": tmp_path / name},
        ]
        return [pairs.key(run.model_copy(update=change)) for change in changes]

    first, same, other = keys("a", "1"), keys("b", "1"), keys("c", "2")
    assert first == same
    assert len({pairs.key(run), *first, *other}) == 7


def test_workers_and_devices_make_another_pair_and_what_decides_no_value_does_not(
    one_split: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = split_run(one_split, one_split.baseline, split=0)

    def key(run: RunConfig = run, **resources: float) -> str | None:
        own = one_split.resources.model_copy(update=resources)
        sweep = one_split.model_copy(update={"resources": own})
        return FinishedPairs(sweep, fingerprint="f" * 64).key(run)

    assert key() == key(workers=1) != key(workers=2)
    keep = run.training.model_copy(update={"keep": 9})
    failure = run.failure.model_copy(update={"stall_timeout": 77.0})
    same = run.model_copy(update={"name": "other", "training": keep, "failure": failure})
    assert key(same) == key()
    monkeypatch.setattr("sweeps.pairs.finished._machine", lambda *, gpu: ["card"] * gpu)
    assert key(gpu=1) == key(gpu=0.5) != key()


def test_threads_that_the_environment_sets_make_another_pair(
    one_split: SweepConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = FinishedPairs(one_split, fingerprint="f" * 64)
    run = split_run(one_split, one_split.baseline, split=0)
    before = pairs.key(run)
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    assert pairs.key(run) != before


def test_a_run_that_is_damaged_or_gone_is_trained_anew(one_split: SweepConfig) -> None:
    reports(one_split)
    run = split_run(one_split, one_split.baseline, split=0)
    weights = run.directory / "model" / WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert taken(one_split.model_copy(update={"name": "other"})) == [False]
    [file] = list((one_split.output / FOLDER).iterdir())
    file.write_text("{")
    with Store.open(run.store) as store:
        third = one_split.model_copy(update={"name": "third"})
        pairs = FinishedPairs(third, fingerprint=store.fingerprint)
    assert pairs.take(run, key=file.stem) is None


def test_other_cells_or_other_code_make_another_pair(
    one_split: SweepConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reports(one_split)
    for part in ("deciding_code", "_plug_ins", "version", "_machine"):
        with monkeypatch.context() as patched:
            patched.setattr(f"sweeps.pairs.finished.{part}", lambda *given, **named: "newer")
            assert taken(one_split.model_copy(update={"name": part.strip("_")})) == [False]
    cells = simulate(SimulateOptions(cells=600, genes=60, singles=6, doubles=5, contexts=2, seed=6))
    cells.write_h5ad(tmp_path / "other.h5ad")
    ingest(tmp_path / "other.h5ad", tmp_path / "other.zarr", options=CONTEXT)
    base = one_split.base | {"store": str(tmp_path / "other.zarr")}
    absolute = {"output": (tmp_path / "runs"), "name": "cells", "base": base}
    assert taken(one_split.model_copy(update=absolute)) == [False]


def new_process() -> None:
    """Forget what this process has seen of object stores, as another one has seen nothing."""
    shutil.rmtree(places._root(), ignore_errors=True)
    mirror.mirror_of.cache_clear()


@pytest.mark.parametrize("place", ["one_split", "far"])
def test_what_goes_on_after_a_stop_is_not_shared_it_may_come_from_other_code(
    place: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_split: SweepConfig = request.getfixturevalue(place)

    class StoppedError(Exception):
        pass

    def stop(line: dict[str, Any]) -> None:
        raise StoppedError

    with pytest.raises(StoppedError):
        run_trial(one_split.baseline, sweep=one_split, report=stop)
    monkeypatch.setattr("sweeps.pairs.finished.deciding_code", lambda: "newer")
    new_process()
    assert taken(one_split) == [False]
    new_process()
    assert taken(one_split) == [False]  # it is only read
    assert taken(one_split.model_copy(update={"name": "other"})) == [False]


def more_cells(cells: Any, folder: Path) -> Path:
    """A file with some of the cells under other names."""
    more = cells[:50].copy()
    more.obs_names = [f"more-{name}" for name in more.obs_names]
    more.write_h5ad(folder / "more.h5ad")
    return folder / "more.h5ad"


def test_a_sweep_goes_on_with_the_cells_that_it_began_on(
    one_split: SweepConfig, tiny_adata: Any, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(one_split.base["store"], tmp_path / "grows.zarr"))
    sweep = one_split.model_copy(update={"base": one_split.base | {"store": str(store)}})
    first, directory = check_data(sweep), SweepDirectory(sweep.directory)
    directory.lock.take(sweep, fingerprint=first, begun=False)
    own: Any = {"event": "start", "trial": "0", "configuration": {}, "baseline": True}
    directory.ledger.write(own)
    ingest(more_cells(tiny_adata, tmp_path), store, options=GROWN)
    assert check_data(sweep) == first
    assert check_data(sweep.model_copy(update={"name": "new"})) != first


def test_a_store_that_grows_while_a_pair_trains_is_neither_used_nor_named(
    one_split: SweepConfig, tiny_adata: Any, tmp_path: Path
) -> None:
    store = Path(shutil.copytree(one_split.base["store"], tmp_path / "grows.zarr"))
    sweep = one_split.model_copy(update={"base": one_split.base | {"store": str(store)}})
    more = more_cells(tiny_adata, tmp_path)

    def grow(line: dict[str, Any]) -> None:
        if line["rung"] == 1:
            ingest(more, store, options=GROWN)

    with Store.open(str(store)) as before:
        first = before.fingerprint
    run_trial(sweep.baseline, sweep=sweep, report=grow)
    manifest = RunDirectory(split_run(sweep, sweep.baseline, split=0).directory).manifest
    assert manifest is not None
    assert manifest.fingerprint == first
    other = sweep.model_copy(update={"name": "other"})
    assert taken(other) == [False]
    grown = RunDirectory(split_run(other, other.baseline, split=0).directory).manifest
    assert grown is not None
    assert grown.fingerprint != first
