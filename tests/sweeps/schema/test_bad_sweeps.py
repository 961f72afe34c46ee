"""A bad sweep is refused before Ray starts, in one line that names the remedy."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.settings.config import make_run
from sweeps import SweepConfig, read_sweep
from sweeps.directory import SweepDirectory
from sweeps.proposals.cells import check_data
from sweeps.schema.files import make_sweep

K = {"type": "int", "low": 5, "high": 30}
CHOICE = {"type": "choice", "values": []}
CIRCLE = {"model.width": {"tie": "model.heads * 8"}, "model.heads": {"tie": "model.width // 8"}}
ONE = {"kind": "list", "test": ["G00008+G00018"], "validation": ["G00005"]}
FILES: dict[str, tuple[dict[str, Any], str]] = {
    "an unknown key": ({"bugdet": {"trials": 3}}, "did you mean 'budget'?"),
    "an unknown key inside": ({"budget": {"trails": 3}}, "did you mean 'budget.trials'?"),
    "an unknown setting": ({"space": {"model.widht": K}}, "did you mean 'model.width'?"),
    "an empty choice": ({"space": {"model.width": CHOICE}}, "needs values: [A, B, ...]; add them"),
    "low above high": ({"space": {"graph.k": {**K, "low": 31}}}, "swap them"),
    "low at high": ({"space": {"graph.k": {**K, "low": 30}}}, "leaves nothing to try; set it in"),
    "log of 0": (
        {"space": {"loss.mmd_weight": {"type": "float", "low": 0, "high": 1, "log": True}}},
        "log needs low above 0, got low=0; raise it",
    ),
    "a circle of ties": ({"space": CIRCLE}, "heads -> model.width -> model.heads; give one of th"),
    "a tie that is no whole number": (
        {"space": {"model.width": K, "model.heads": {"tie": "model.width / 64"}}},
        "model.heads = model.width / 64, which cannot run: model.heads: expected a whole number",
    ),
    "a base that is a sweep": (
        {"base": {"store": "s", "space": {}}},
        "base must be settings of a run or a run file, got those of a sweep; name a run file",
    ),
    "a metric of cells": ({"objective": {"metric": "pr_auc"}}, "does not compute pr_auc"),
    "a limit of nothing": ({"limits": {"parameters": 0}}, "limits.parameters"),
    "a switch for a number": (
        {"budget": {"trials": True}},
        "sweep.yaml: budget.trials: expected a whole number, got True; correct it",
    ),
    "a switch for a number in a split": (
        {"splits": [{"kind": "additive"}, {"kind": "holdout", "genes": True}]},
        "splits.1.genes: expected a whole number, got True",
    ),
    "a switch for an end of a range": (
        {"space": {"graph.k": {**K, "low": False}}},
        "space.graph.k.low: expected a number, got False",
    ),
    "a switch in the base": (
        {"base": {"store": "s", "training": {"steps": True}}},
        "training.steps: expected a whole number, got True",
    ),
    "a switch among values": (
        {"space": {"training.steps": {"type": "choice", "values": [4, True]}}},
        "training.steps: expected a whole number, got True",
    ),
    "a seed, which draws the units that validate": (
        {"space": {"seed": {"type": "choice", "values": [0, 1]}}},
        "space must not hold 'seed': it also draws the units that validate, and all trials must be "
        "judged alike; train the best with more seeds by confirm: {seeds: N}; remove it",
    ),
    "one seed to confirm": ({"confirm": {"seeds": 1}}, "confirm.seeds"),
    "no gain of a list": (
        {
            "space": {},
            "search": {},
            "budget": {"no_gain": 2},
            "configurations": {"a": {"graph.k": 1}, "b": {"graph.k": 2}},
        },
        "no_gain does not belong to configurations",
    ),
}
DATA: dict[str, tuple[dict[str, Any], str]] = {
    "trials that are scored on other genes": (
        {"space": {"genes.model": {"type": "choice", "values": [20, 60]}}},
        "a trial with genes.model 20, which has 19 of the 30; lower base.genes.evaluation",
    ),
    "a condition that is not there": (
        {"splits": [{"kind": "list", "test": ["NOSUCH"]}]},
        "NOSUCH",
    ),
    "a context that is not there": (
        {"splits": [{"kind": "context", "context": "NOSUCH"}]},
        "NOSUCH",
    ),
    "a metric that one unit cannot have": (
        {"objective": {"metric": "discrimination_score_l1"}, "splits": [ONE]},
        "objective.metric discrimination_score_l1 is undefined on the",
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_a_sweep_that_could_not_run_is_refused_when_it_is_read(
    tiny: dict[str, Any], name: str
) -> None:
    changes, said = FILES[name]
    with pytest.raises(ValueError, match=r"sweep\.yaml: ") as caught:
        make_sweep({**tiny, **changes}, where="sweep.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("objective", [{"metric": "mmd2"}, [{"metric": "mse"}, {"metric": "mmd2"}]])
def test_trials_may_be_compared_by_cells_where_a_unit_has_two_to_compare(
    tiny_sweep: SweepConfig, tiny: dict[str, Any], objective: Any
) -> None:
    changes = {"objective": objective, "prune": {"scheduler": "none"}}
    one_cell = {**tiny_sweep.base, "validation": {"cells": 1}}
    many, single = (
        make_sweep({**tiny, "base": base, **changes}, where="sweep.yaml")
        for base in (tiny_sweep.base, one_cell)
    )
    assert check_data(many)
    with pytest.raises(ValueError, match=r"objective\.metric mmd2 is undefined on the"):
        check_data(single)


@pytest.mark.parametrize("name", DATA)
def test_a_sweep_that_does_not_fit_its_cells_is_refused_before_ray_starts(
    tiny_sweep: SweepConfig, tiny: dict[str, Any], name: str
) -> None:
    changes, said = DATA[name]
    sweep = make_sweep({**tiny, "base": tiny_sweep.base, **changes}, where="sweep.yaml")
    with pytest.raises(ValueError, match=said) as caught:
        check_data(sweep)
    assert "\n" not in str(caught.value)
    assert not sweep.directory.exists()


def test_of_an_older_sweep_it_is_said_that_its_trials_are_scored_on_other_genes(
    tiny_sweep: SweepConfig, tiny: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    changes, _ = DATA["trials that are scored on other genes"]
    sweep = make_sweep({**tiny, "base": tiny_sweep.base, **changes}, where="sweep.yaml")
    directory, fingerprint = SweepDirectory(sweep.directory), check_data(tiny_sweep)
    directory.lock.take(sweep, fingerprint=fingerprint, begun=False)
    directory.ledger.write(
        {"event": "start", "trial": "0", "configuration": sweep.baseline, "baseline": True}
    )
    assert check_data(sweep) == fingerprint  # what it found can still be read
    assert "so they do not compare: a trial with genes.model 20, which has 19" in caplog.text


def test_the_genes_of_a_model_may_be_tried_where_those_that_are_scored_stay(
    tiny_sweep: SweepConfig, tiny: dict[str, Any]
) -> None:
    base = {**tiny_sweep.base, "genes": {"model": 60, "evaluation": 4}}
    space = {"genes.model": {"type": "choice", "values": [30, 60]}}
    assert check_data(make_sweep({**tiny, "base": base, "space": space}, where="sweep.yaml"))


def test_a_list_of_edges_that_does_not_fit_is_refused_with_whose_it_is(
    tiny_sweep: SweepConfig, tiny: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text("from,to\nA,B\n")
    edges = {"graph.kind": "edges", "graph.k": None}
    space = {"graph.path": {"type": "choice", "values": ["gone.csv", "bad.csv"]}}
    base = {**tiny_sweep.base, "graph": {"kind": "edges", "path": "gone.csv"}}
    listed = {
        "usual": {"graph.kind": "pearson", "graph.path": None},
        "mine": {**edges, "graph.path": "bad.csv"},
    }
    own = {name: value for name, value in tiny.items() if name not in ("space", "search", "budget")}
    for changes, kind, said in (
        ({**tiny, "base": base, "space": space}, FileNotFoundError, r"^the base: .*gone\.csv"),
        (
            {**own, "base": tiny_sweep.base, "configurations": listed},
            ValueError,
            r"^configuration "
            r"'mine': .*bad\.csv",
        ),
    ):
        with pytest.raises(kind, match=said):
            check_data(make_sweep(changes, where="sweep.yaml"))
    (tmp_path / "gone.csv").write_text("source,target\nG00001,G00002\nG00005,G00008\n")
    with pytest.raises(ValueError, match=r"^a trial with graph\.path bad\.csv: .*bad\.csv"):
        check_data(make_sweep({**tiny, "base": base, "space": space}, where="sweep.yaml"))


def test_a_sweep_is_called_one_where_a_run_is_expected(tiny: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"s\.yaml is a sweep file, expected a run; use `scdfm t"):
        make_run(tiny, where="s.yaml")


def test_a_run_file_is_called_one(tiny: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({**tiny["base"], "name": "r", "split": {"kind": "additive"}}))
    with pytest.raises(
        ValueError, match=r"run\.yaml is a run file, expected a sweep; use `scdfm t"
    ):
        read_sweep(path)
