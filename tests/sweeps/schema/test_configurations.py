"""Facts of a sweep that lists its configurations by name."""

import csv
from pathlib import Path
from typing import Any

import pytest

from cluster.runs.directory import RunDirectory
from data_store.store.reader import Store
from sweeps import SweepConfig, read_sweep, tune
from sweeps.events import SweepEvent
from sweeps.lock import Lock
from sweeps.space import split_run

NAMED: dict[str, Any] = {
    "full": {},
    "no graph": {"graph.kind": "none"},
    "standard attention": {"model.attention": "standard"},
    "no MMD": {"loss.mmd_weight": 0},
}


def listed(tiny: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The tiny sweep with a list in place of its space."""
    rest = {name: tiny[name] for name in tiny if name not in ("space", "search", "budget")}
    return {**rest, "configurations": NAMED, **changes}


def test_what_a_configuration_leaves_out_it_has_from_the_base(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(listed(tiny))
    base = {"graph.kind": "pearson", "model.attention": "differential", "loss.mmd_weight": 0.5}
    assert sweep.listed == {
        "full": base,
        "no graph": base | {"graph.kind": "none"},
        "standard attention": base | {"model.attention": "standard"},
        "no MMD": base | {"loss.mmd_weight": 0.0},
    }
    assert sweep.baseline == base
    for name, configuration in sweep.listed.items():
        assert sweep.name_of(configuration) == name
        assert sweep.run(configuration, split=1) == sweep.run(NAMED[name], split=1)


def test_a_list_is_run_whole_and_read_again_alike(tiny: dict[str, Any]) -> None:
    sweep = SweepConfig.model_validate(listed(tiny))
    assert (sweep.budget.trials, sweep.prune.scheduler) == (4, "none")
    again = SweepConfig.model_validate(sweep.model_dump(mode="json", exclude_unset=True))
    assert again == sweep


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"space": {"graph.k": {"type": "int", "low": 1, "high": 2}}}, "space and configurations"),
        ({"search": {"seed": 1}}, "search and configurations exclude each other"),
        ({"budget": {"trials": 3}}, "budget.trials is 3 and there are 4 configurations"),
        ({"configurations": {}}, "configurations at least 2"),
        ({"configurations": {"full": {}}}, "a single one is a run"),
        (
            {"configurations": {"a": {}, "b": {"grpah.k": 3}}},
            "configurations: 'grpah.k' is not a setting of a run; did you mean 'graph.k'?",
        ),
        ({"configurations": {"a": {}, "b": {"split.fold": 3}}}, "must not hold 'split.fold'"),
        ({"configurations": {"a": {}, "b": {"seed": 3}}}, "configurations must not hold 'seed'"),
        ({"configurations": {"a": {}, "b": {"model.width": -3}}}, "configurations.b cannot run"),
        ({"configurations": {"a": {}, "b": {"graph.k": 4}}}, "got 'a' and 'b' alike"),
        ({"configurations": {"a": {}, "b": {"graph.kind": "edges"}}}, "needs path"),
        (
            {
                "configurations": {"a": {}, "b": {"training.steps": 2}},
                "prune": {"scheduler": "asha"},
            },
            "trying training.steps changes what a round is",
        ),
    ],
)
def test_a_list_that_could_not_run_is_refused(
    tiny: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        SweepConfig.model_validate(listed(tiny, **change))


def test_the_ablations_that_ship_are_the_papers_and_each_switches_one_thing() -> None:
    sweep = read_sweep("ablation")
    assert len(sweep.splits) == 4
    runs = {
        name: sweep.run(one, split=0).model_dump(mode="json") for name, one in sweep.listed.items()
    }
    full = runs.pop("full")
    changed = {
        name: {
            f"{part}.{key}": value
            for part, inner in run.items()
            if isinstance(inner, dict)
            for key, value in inner.items()
            if full[part][key] != value
        }
        for name, run in runs.items()
    }
    assert changed == {
        "no graph": {"graph.kind": "none"},
        "standard attention": {"model.attention": "standard"},
        "no MMD": {"loss.mmd_weight": 0.0},
        "bare attention": {"model.mlp": False},
    }


def test_the_ablations_can_be_taken_to_a_small_machine() -> None:
    sweep = read_sweep("ablation", overrides={"base.preset": "small", "base.store": "s.zarr"})
    assert sweep.run({}, split=0).model.width == 64


def test_kinds_of_graph_are_compared_in_a_space_or_a_list(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    kinds = {"type": "choice", "values": ["pearson", "spearman", "none"]}
    space = {"graph.kind": kinds, "graph.k": {"type": "int", "low": 4, "high": 12, "step": 4}}
    sweep = SweepConfig.model_validate(tiny | {"space": space})
    assert sweep.run({"graph.kind": "spearman", "graph.k": 8}, split=0).graph.k == 8
    mine = {"graph.kind": "edges", "graph.path": "edges.csv", "graph.k": None}
    named = SweepConfig.model_validate(listed(tiny, configurations={"ours": {}, "mine": mine}))
    run = named.run(named.listed["mine"], split=0)
    assert (str(run.graph.path), run.graph.k) == ("edges.csv", None)
    assert named.run(named.listed["ours"], split=0) == named.run({}, split=0)


def genes(store: Path) -> list[str]:
    with Store.open(store) as cells:
        return sorted({t for tokens in cells.conditions.values() for t in tokens})


def test_a_list_of_edges_is_part_of_the_lock(
    tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    mine = {"graph.kind": "edges", "graph.path": "edges.csv", "graph.k": None}
    sweep = SweepConfig.model_validate(listed(tiny, configurations={"ours": {}, "mine": mine}))
    Path("edges.csv").write_text("source,target\nA,B\n")
    Lock(sweep.directory).take(sweep, fingerprint="f", begun=False)
    Lock(sweep.directory).take(sweep, fingerprint="f", begun=True)
    Path("edges.csv").write_text("source,target\nA,C\n")
    with pytest.raises(ValueError, match=r"another sweep: edges\.csv has other content"):
        Lock(sweep.directory).take(sweep, fingerprint="f", begun=True)


def test_a_list_of_edges_that_is_not_there_is_found_before_anything_starts(
    tiny: dict[str, Any], tiny_sweep: SweepConfig
) -> None:
    mine = {"graph.kind": "edges", "graph.path": "nowhere.csv", "graph.k": None}
    sweep = SweepConfig.model_validate(
        listed(tiny, base=tiny_sweep.base, configurations={"ours": {}, "mine": mine})
    )
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        tune(sweep)
    assert not sweep.directory.exists()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("ray_session")
def test_every_configuration_is_run_once_over_all_splits(
    tiny: dict[str, Any], tiny_sweep: SweepConfig, tiny_store_path: Path
) -> None:
    a, b, *_ = genes(tiny_store_path)
    Path("edges.csv").write_text(f"source,target\n{a},{b}\n")
    edges = {"graph.kind": "edges", "graph.path": "edges.csv", "graph.k": None}
    sweep = SweepConfig.model_validate(
        listed(tiny, base=tiny_sweep.base, configurations={**NAMED, "my edges": edges})
    )
    told: list[SweepEvent] = []
    result = tune(sweep, report=told.append)
    rows = {row.name: row for row in result.leaderboard}
    assert sorted(rows, key=str) == sorted(sweep.configurations)
    assert len(result.leaderboard) == 5
    assert all(row.state == "complete" and len(row.splits) == 2 for row in rows.values())
    assert [name for name, row in rows.items() if row.baseline] == ["full"]
    assert len({row.value for row in rows.values()}) == 5
    assert {event.name for event in told if event.kind == "start"} == set(rows)
    begun = {
        name: RunDirectory(split_run(sweep, row.configuration, split=0).directory).manifest
        for name, row in rows.items()
        if name
    }
    kinds = {name: facts.graph.kind for name, facts in begun.items() if facts and facts.graph}
    assert kinds.pop("no graph") == "none"
    assert kinds.pop("my edges") == "edges"
    assert set(kinds.values()) == {"pearson"}
    with (result.directory / "leaderboard.csv").open() as file:
        table = list(csv.DictReader(file))
    assert {line["name"] for line in table} == set(rows)

    before = (result.directory / "ledger.jsonl").read_text()
    assert tune(sweep).leaderboard == result.leaderboard
    assert (result.directory / "ledger.jsonl").read_text() == before
