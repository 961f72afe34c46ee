import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.lock import Lock, say_if_renamed


@pytest.fixture(autouse=True)
def _here(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lock(sweep: SweepConfig, *, fingerprint: str, begun: bool) -> None:
    Lock(sweep.directory).take(sweep, fingerprint=fingerprint, begun=begun)


def test_another_sweep_of_the_same_name_is_refused_by_its_first_difference(
    tiny: dict[str, Any],
) -> None:
    lock(SweepConfig.model_validate(tiny), fingerprint="f", begun=True)
    other = tiny | {"space": {"graph.k": {"type": "int", "low": 4, "high": 8, "step": 4}}}
    with pytest.raises(ValueError, match=r"tiny holds another sweep: space\.\S+ was .* is now"):
        lock(SweepConfig.model_validate(other), fingerprint="f", begun=True)


def test_another_base_is_another_sweep(tiny: dict[str, Any]) -> None:
    lock(SweepConfig.model_validate(tiny), fingerprint="f", begun=True)
    other = tiny | {"base": tiny["base"] | {"source": "noise"}}
    with pytest.raises(ValueError, match=r"base\.source was 'control' and is now 'noise'"):
        lock(SweepConfig.model_validate(other), fingerprint="f", begun=True)


def test_other_cells_are_another_sweep(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny)
    lock(sweep, fingerprint="f", begun=True)
    with pytest.raises(ValueError, match="store_fingerprint"):
        lock(sweep, fingerprint="g", begun=True)


def test_budget_and_resources_may_change(tiny: dict[str, Any]) -> None:
    lock(SweepConfig.model_validate(tiny), fingerprint="f", begun=True)
    more = tiny | {"budget": {"trials": 99}, "resources": {"cpu": 2}, "failure": {"retries": 3}}
    lock(SweepConfig.model_validate(more), fingerprint="f", begun=True)


def older_without(name: str, sweep: SweepConfig) -> None:
    """Make a sweep's lock one of a version that did not say this."""
    path = Lock(sweep.directory).path
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), name: None}))


def test_workers_inside_a_trial_stay_since_a_step_takes_the_batches_of_all(
    tiny: dict[str, Any],
) -> None:
    sweep = SweepConfig.model_validate(tiny)
    lock(sweep, fingerprint="f", begun=True)
    lock(
        SweepConfig.model_validate(tiny | {"resources": {"workers": 1}}),
        fingerprint="f",
        begun=True,
    )
    two = SweepConfig.model_validate(tiny | {"resources": {"workers": 2}})
    with pytest.raises(ValueError, match=r"resources\.workers was 1 and is now 2"):
        lock(two, fingerprint="f", begun=True)
    older_without("workers", sweep)
    lock(two, fingerprint="f", begun=True)


def test_trials_compute_on_gpus_or_on_none_as_the_sweep_has_begun(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny)
    one, half = (SweepConfig.model_validate(tiny | {"resources": {"gpu": n}}) for n in (1, 0.5))
    lock(one, fingerprint="f", begun=True)
    lock(half, fingerprint="f", begun=True)
    with pytest.raises(ValueError, match=r"resources\.gpu was 'above 0' and is now 0"):
        lock(sweep, fingerprint="f", begun=True)
    older_without("gpu", sweep)
    lock(sweep, fingerprint="f", begun=True)


def test_spelling_a_default_out_changes_nothing(tiny: dict[str, Any]) -> None:
    lock(SweepConfig.model_validate(tiny), fingerprint="f", begun=True)
    lock(
        SweepConfig.model_validate(tiny | {"base": tiny["base"] | {"loss": {"mmd_weight": 0.5}}}),
        fingerprint="f",
        begun=True,
    )


def test_a_sweep_that_never_began_may_be_corrected(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny)
    lock(sweep, fingerprint="f", begun=False)
    lock(sweep, fingerprint="g", begun=False)
    lock(sweep, fingerprint="g", begun=True)
    with pytest.raises(ValueError, match="holds another sweep: store_fingerprint"):
        lock(sweep, fingerprint="f", begun=True)


def test_a_store_that_moved_is_said_once_and_a_sweep_that_moved_keeps_its_study(
    tiny: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    sweep = SweepConfig.model_validate(tiny)
    lock(sweep, fingerprint="f", begun=True)
    spelt = SweepConfig.model_validate(tiny | {"base": tiny["base"] | {"store": "./any.zarr/"}})
    lock(spelt, fingerprint="f", begun=True)
    assert caplog.messages == []
    moved = tiny | {
        "name": "renamed",
        "output": "elsewhere",
        "base": tiny["base"] | {"store": "/data/any.zarr"},
    }
    shutil.copytree(sweep.directory, tmp_path / "elsewhere" / "renamed")
    for _ in range(2):
        lock(SweepConfig.model_validate(moved), fingerprint="f", begun=True)
    assert caplog.messages == [
        "name: was tiny, is now renamed; same settings",
        "base.store: was ./any.zarr/, is now /data/any.zarr; same fingerprint",
    ]
    locked = Lock(tmp_path / "elsewhere" / "renamed").read()
    assert locked is not None
    assert (locked.name, locked.study_name) == ("renamed", "tiny")


def test_a_new_sweep_names_one_with_the_same_settings_beside_it(
    tiny: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    sweep = SweepConfig.model_validate(tiny)
    lock(sweep, fingerprint="f1", begun=True)
    say_if_renamed(sweep, fingerprint="f1")  # it is there itself
    sweep.directory.rename("runs/renamed")
    Path("runs/broken").mkdir()
    Path("runs/broken/sweep.lock.yaml").write_bytes(b"f1: \xff")
    other = {**tiny, "search": {**tiny["search"], "seed": 4}}
    say_if_renamed(SweepConfig.model_validate(other), fingerprint="f1")
    say_if_renamed(sweep, fingerprint="f2")
    assert caplog.messages == []
    say_if_renamed(sweep, fingerprint="f1")
    assert caplog.messages == [
        "runs/renamed holds a sweep with the same settings, and this one is new; to go on with "
        "that: --set name=renamed"
    ]


def test_a_list_of_edges_may_move_and_must_stay_the_same(tiny: dict[str, Any]) -> None:
    Path("one.csv").write_text("source,target\nA,B\n")

    def with_edges(path: str) -> SweepConfig:
        base = {**tiny["base"], "graph": {"kind": "edges", "path": path}}
        space = {"model.width": tiny["space"]["model.width"]}
        return SweepConfig.model_validate({**tiny, "base": base, "space": space})

    lock(with_edges("one.csv"), fingerprint="f", begun=True)
    Path("one.csv").rename("two.csv")
    lock(with_edges("two.csv"), fingerprint="f", begun=True)
    Path("two.csv").write_text("source,target\nA,C\n")
    with pytest.raises(ValueError, match=r"holds another sweep: two\.csv has other content"):
        lock(with_edges("two.csv"), fingerprint="f", begun=True)


def test_files_are_compared_by_the_setting_that_names_them(tiny: dict[str, Any]) -> None:
    base = {**tiny["base"], "graph": {"kind": "edges", "path": "one.csv"}}
    space = {"graph.path": {"type": "choice", "values": ["one.csv", "two.csv"]}}
    tried = SweepConfig.model_validate({**tiny, "base": base, "space": space})
    parts = [{"kind": "file", "path": name} for name in ("one.csv", "two.csv")]
    split = SweepConfig.model_validate({**tiny, "name": "split", "splits": parts})
    for name, edge in (("one", "A,B"), ("two", "A,C")):
        Path(f"{name}.csv").write_text(f"source,target\n{edge}\n")
    for sweep in (tried, split):
        lock(sweep, fingerprint="f", begun=True)
    other = {**base, "graph": {"kind": "edges", "path": "two.csv"}}
    other_base = SweepConfig.model_validate({**tiny, "base": other, "space": space})
    with pytest.raises(ValueError, match=r"two\.csv has other content"):
        lock(other_base, fingerprint="f", begun=True)
    Path("one.csv").rename("three.csv")
    Path("two.csv").rename("one.csv")
    Path("three.csv").rename("two.csv")
    for sweep in (tried, split):
        with pytest.raises(ValueError, match=r"one\.csv has other content"):
            lock(sweep, fingerprint="f", begun=True)
    swapped = SweepConfig.model_validate({**tiny, "name": "split", "splits": parts[::-1]})
    lock(swapped, fingerprint="f", begun=True)  # each split has its own list again


def test_a_lock_of_the_version_before_is_still_this_sweep(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(tiny)
    lock(sweep, fingerprint="f", begun=True)
    path = sweep.directory / "sweep.lock.yaml"
    old = yaml.safe_load(path.read_text())
    del old["split_files"]  # new since
    del old["base"]["compile"]  # a setting that it did not know would be at its default
    del old["objective"]["aggregate"]
    path.write_text(yaml.safe_dump(old))
    lock(sweep, fingerprint="f", begun=True)
    old["base"]["compile"] = "on"
    path.write_text(yaml.safe_dump(old))
    with pytest.raises(ValueError, match=r"base\.compile was 'on' and is now 'auto'"):
        lock(sweep, fingerprint="f", begun=True)


def test_settings_without_effect_that_an_older_version_took_do_not_stop_a_sweep(
    tiny: dict[str, Any],
) -> None:
    sweep = SweepConfig.model_validate(
        tiny | {"prune": {"scheduler": "none"}, "search": {"sampler": "random", "seed": 3}}
    )
    lock(sweep, fingerprint="f", begun=True)
    path = sweep.directory / "sweep.lock.yaml"
    old = yaml.safe_load(path.read_text())
    old["prune"] |= {"grace": 3, "factor": 4}
    old["search"]["startup"] = 2
    path.write_text(yaml.safe_dump(old))
    lock(sweep, fingerprint="f", begun=True)
    old["search"]["seed"] = 4  # which a random sampler does read
    path.write_text(yaml.safe_dump(old))
    with pytest.raises(ValueError, match=r"search\.seed was 4 and is now 3"):
        lock(sweep, fingerprint="f", begun=True)


@pytest.mark.parametrize("content", [b"- half", b"name: \xff"], ids=["cut off", "no text"])
def test_a_damaged_lock_is_named(tiny: dict[str, Any], content: bytes) -> None:
    sweep = SweepConfig.model_validate(tiny)
    lock(sweep, fingerprint="f", begun=True)
    (sweep.directory / "sweep.lock.yaml").write_bytes(content)
    with pytest.raises(ValueError, match=r"sweep\.lock\.yaml is damaged"):
        lock(sweep, fingerprint="f", begun=True)


@pytest.mark.parametrize("name", ["..", ".", "-x", "a/b", "a\\b"])
def test_a_name_is_one_folder_below_its_output(tiny: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match="a name begins with a letter or digit"):
        SweepConfig.model_validate(tiny | {"name": name})


def test_a_sweep_does_not_move_into_a_run(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").touch()
    refused = pytest.raises(ValueError, match="holds a run; choose another name")
    with refused, SweepDirectory(tmp_path).held():
        pass
