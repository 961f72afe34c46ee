"""A place is no identity: what moved, or is spelt otherwise, is what it was."""

import json
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest

from cluster.runs.directory import RunDirectory
from cluster.runs.inspect_run import describe_run
from cluster.settings.config import RunConfig, make_run
from cluster.train import train_here
from cluster.work.evaluate import evaluate
from data_store.ingest.write import IngestOptions, ingest
from scdfm.flow.training import Round
from tests.cluster.small import settings

pytestmark = pytest.mark.slow


def at_step_2(outcome: Round) -> bool:
    return outcome.step < 2


def weights(directory: Path) -> bytes:
    return (directory / "model" / "model.safetensors").read_bytes()


def made(store: Path | str, output: Path | str, **changes: Any) -> RunConfig:
    values = settings(Path("unused"), Path("unused"))
    return make_run(values | {"store": str(store), "output": str(output)} | changes, where="test")


@pytest.fixture
def store(tiny_store_path: Path, tmp_path: Path) -> Path:
    """A copy that may be moved."""
    return Path(shutil.copytree(tiny_store_path, tmp_path / "stores" / "a.zarr"))


def test_a_run_and_a_store_that_moved_go_on_to_the_same_bytes_and_it_is_said(
    store: Path, trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    train_here(made(store, tmp_path / "runs"), on_round=at_step_2)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(tmp_path / "runs", elsewhere)
    moved = store.rename(tmp_path / "b.zarr")
    (elsewhere / "tiny").rename(elsewhere / "other")
    run = made(moved, elsewhere, name="other")
    caplog.clear()
    result = train_here(run)
    assert weights(result.directory) == weights(trained)
    assert f"store: was {store}, is now {moved}; same fingerprint" in caplog.messages
    assert [line.split(":")[0] for line in caplog.messages] == ["store", "name", "output"]
    caplog.clear()
    assert train_here(run) == result
    assert caplog.messages == []
    assert RunDirectory(result.directory).settings == run


def test_another_spelling_of_a_place_changes_nothing(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.chdir(tmp_path)
    train_here(made("stores/a.zarr", "runs"), on_round=at_step_2)
    for spelt, output in (
        ("./stores/../stores/a.zarr/", "./runs"),
        (str(store), tmp_path / "runs"),
    ):
        stopped = train_here(made(spelt, output), on_round=at_step_2)
        assert not stopped.finished
    lines = [line for line in caplog.messages if line.startswith(("store", "output"))]
    assert lines == []
    assert train_here(made(store, "runs")).finished


def test_other_cells_in_the_place_of_the_store_are_refused(
    store: Path, tiny_h5ad: Path, tmp_path: Path
) -> None:
    train_here(made(store, tmp_path / "runs"), on_round=at_step_2)
    other = tmp_path / "other.zarr"
    ingest(tiny_h5ad, other, options=IngestOptions(context_column="context", seed=3))
    with pytest.raises(ValueError, match="expected version"):
        train_here(made(other, tmp_path / "runs"))


def test_a_store_that_is_gone_is_answered_with_the_setting_that_names_it(
    store: Path, tmp_path: Path
) -> None:
    new, begun = made(tmp_path / "none.zarr", tmp_path / "runs"), made(store, tmp_path / "runs")
    with pytest.raises(FileNotFoundError, match=r"with --set store=PATH") as caught:
        train_here(new)
    train_here(begun, on_round=at_step_2)
    store.rename(tmp_path / "b.zarr")
    with pytest.raises(FileNotFoundError, match=r"name where it is now with --set store") as again:
        train_here(begun)
    with pytest.raises(FileNotFoundError, match=r"name where it is now with --store") as judged:
        evaluate(begun.directory)
    for error in (caught, again, judged):
        assert "\n" not in str(error.value)
        assert "ingest first" not in str(error.value)
    assert evaluate(begun.directory, store=str(tmp_path / "b.zarr")).conditions


def test_a_model_is_judged_where_its_run_went_on(store: Path, tmp_path: Path) -> None:
    train_here(made(store, tmp_path / "runs"))
    moved = store.rename(tmp_path / "b.zarr")
    directory = train_here(made(moved, tmp_path / "runs")).directory
    assert evaluate(directory).store == str(moved)


def test_a_list_of_edges_may_move_and_must_stay_the_same(store: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    genes = [f"source,target\n{a},{b}\n" for a, b in (perturbed(store)[:2], perturbed(store)[1:3])]
    one.write_text(genes[0])

    def with_edges(path: Path) -> RunConfig:
        return made(store, tmp_path / "runs", graph={"kind": "edges", "path": str(path)})

    train_here(with_edges(one), on_round=at_step_2)
    one.rename(two)
    two.write_text(genes[1])
    with pytest.raises(ValueError, match=r"was begun with .*two\.csv of sha256"):
        train_here(with_edges(two))
    two.write_text(genes[0])
    assert train_here(with_edges(two)).finished


def perturbed(store: Path) -> list[str]:
    from data_store.store.reader import Store

    with Store.open(store) as cells:
        return sorted({token for tokens in cells.conditions.values() for token in tokens})


def test_a_split_file_may_move_and_must_stay_the_same(store: Path, tmp_path: Path) -> None:
    first = train_here(made(store, tmp_path / "runs", name="first"), on_round=at_step_2).directory
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text((first / "split.json").read_text())

    def with_split(path: Path) -> RunConfig:
        return made(store, tmp_path / "runs", split={"kind": "file", "path": str(path)})

    train_here(with_split(one), on_round=at_step_2)
    split = json.loads(one.read_text())
    one.rename(two)
    two.write_text(json.dumps(split | {"train": split["train"][1:]}))
    with pytest.raises(ValueError, match=r"another split than .*two\.json"):
        train_here(with_split(two))
    two.write_text(json.dumps(split))
    assert train_here(with_split(two)).finished


def test_first_weights_may_move_and_must_stay_the_same(
    trained: Path, store: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    shutil.copytree(trained / "model", one)

    def from_model(path: Path) -> RunConfig:
        return made(store, tmp_path / "runs", init_from=str(path))

    train_here(from_model(one), on_round=at_step_2)
    one.rename(two)
    content = bytearray((two / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (two / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="was begun from weights of sha256"):
        train_here(from_model(two))
    content[-1] ^= 1
    (two / "model.safetensors").write_bytes(content)
    assert train_here(from_model(two)).finished
    with pytest.raises(ValueError, match=r"init_from was .* and is now None"):
        train_here(made(store, tmp_path / "runs"))


def test_threads_may_change_and_it_is_said(
    store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    train_here(made(store, tmp_path / "runs"), on_round=at_step_2)
    caplog.clear()
    assert train_here(made(store, tmp_path / "runs", threads=2)).finished
    assert caplog.messages == ["threads: was 1, is now 2; the last digits may differ"]


def test_a_finished_run_asked_for_more_steps_says_how(store: Path, tmp_path: Path) -> None:
    run = made(store, tmp_path / "runs")
    train_here(run)
    longer = run.training.model_copy(update={"steps": 9})
    with pytest.raises(ValueError, match=r"is done at step 6.*--set init_from=") as caught:
        train_here(run.model_copy(update={"training": longer}))
    assert "\n" not in str(caught.value)
    more = made(store, tmp_path / "runs", name="more", init_from=str(run.directory))
    assert train_here(more).finished


def test_a_run_of_the_version_before_is_read_and_goes_on(store: Path, tmp_path: Path) -> None:
    run = made(store, tmp_path / "runs")
    directory = train_here(run, on_round=at_step_2).directory
    file = directory / "manifest.json"
    facts = json.loads(file.read_text())
    # As the version before wrote it; one that was never moved lacks nothing and has no more.
    assert list(facts) == [
        "run", "store", "fingerprint", "contexts", "versions", "commit", "hardware", "date",
        "graph", "plan", "arithmetic",
    ]  # fmt: skip
    for name in ("hardware", "date", "arithmetic", "graph", "plan"):
        del facts[name]
    file.write_text(json.dumps(facts | {"of a newer version": [1]}))
    assert describe_run(directory)["step"] == 2
    assert train_here(run).finished
    kept = json.loads(file.read_text())
    assert kept["of a newer version"] == [1]
    assert kept["fingerprint"] == facts["fingerprint"]


@pytest.mark.parametrize("name", ["..", ".", ".hidden", "-x", "a/b", "a\\b", "C:x", "", "a\n"])
def test_a_name_is_one_folder_below_its_output(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name: a name begins with a letter or digit") as caught:
        made("s", tmp_path, name=name)
    assert "\n" not in str(caught.value)


def test_a_refused_run_leaves_its_parent_alone(tiny_store_path: Path, tmp_path: Path) -> None:
    from cluster.runs.lease import lease

    with pytest.raises(ValueError, match="late"), lease(tmp_path / "new" / ".." / "new" / "run"):
        raise ValueError("late")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    with pytest.raises(ValueError, match="late"), lease(tmp_path / "kept" / ".." / "kept"):
        raise ValueError("late")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_run_does_not_move_into_a_sweep(store: Path, tmp_path: Path) -> None:
    (tmp_path / "runs" / "tiny").mkdir(parents=True)
    (tmp_path / "runs" / "tiny" / "sweep.lock.yaml").touch()
    with pytest.raises(ValueError, match="holds a sweep; choose another name"):
        train_here(made(store, tmp_path / "runs"))
