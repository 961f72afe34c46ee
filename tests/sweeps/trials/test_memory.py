"""A trial that runs out of memory is known as such, and the search learns that it cannot be had."""

import json
from pathlib import Path
from typing import Any

import optuna
import pytest
import torch
from ray.exceptions import ActorDiedError, RayTaskError

from sweeps import SweepConfig, tune
from sweeps.proposals.search import StudySearch
from sweeps.trials.deaths import KilledError
from sweeps.trials.memory import of_one_type, out_of_memory
from tests.sweeps.trials.test_deaths import SHORT, failed

TOO_WIDE = 8_000_000  # a square matrix of that width has 256 TB


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError("no room"), "out of memory: no room"),
        (torch.OutOfMemoryError("CUDA out of memory.\nmore"), "out of memory of the GPU: CUDA out"),
        (RuntimeError("out of memory, says a user's text"), None),
        (FloatingPointError("diverged"), None),
    ],
    ids=["python", "GPU", "text", "other"],
)
def test_errors_of_a_trial_are_told_apart_by_type(
    tmp_path: Path, error: Exception, said: str | None
) -> None:
    told = out_of_memory(failed(tmp_path, RayTaskError("train", "its traceback", error)))
    assert told is None if said is None else told is not None and told.startswith(said)


def test_a_death_that_nobody_explains_is_not_one_of_memory(tmp_path: Path) -> None:
    assert out_of_memory(failed(tmp_path, ActorDiedError())) is None
    killed = out_of_memory(failed(tmp_path, KilledError(error_msg=SHORT)))
    assert killed is not None
    assert killed.startswith("out of memory: the node")


def test_a_tensor_that_does_not_fit_is_a_memory_error() -> None:
    def allocate() -> Any:
        return torch.empty((TOO_WIDE, TOO_WIDE))

    with pytest.raises(MemoryError, match="allocate"):
        of_one_type(allocate)
    with pytest.raises(RuntimeError, match="size"):
        of_one_type(lambda: torch.ones(2) @ torch.ones(3))


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "random", "qmc"])
def test_every_sampler_is_told_and_goes_on(tiny_sweep: SweepConfig, sampler: str) -> None:
    space = {name: one for name, one in tiny_sweep.space.items() if one.type != "choice"}
    search = tiny_sweep.search.model_copy(update={"sampler": sampler})
    sweep = tiny_sweep.model_copy(update={"search": search, "space": space})
    storage = optuna.storages.InMemoryStorage()
    asked = StudySearch(sweep, storage=storage, name="s", earlier=(), first=())
    for number in ("a", "b", "c", "d"):
        assert isinstance(asked.suggest(number), dict)
        asked.on_trial_complete(number, error=True)
        asked.failed(number, memory=number == "b")
    # Number 0 is no proposal.
    trials = optuna.load_study(study_name="s", storage=storage).get_trials()[1:]
    assert [one.state.name for one in trials] == ["FAIL", "PRUNED", "FAIL", "FAIL"]
    assert [one.constraints for one in trials] == [{}, {"memory": 1.0}, {}, {}]


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_trial_that_does_not_fit_is_recorded_and_the_others_go_on(
    tiny_sweep: SweepConfig,
) -> None:
    width = tiny_sweep.space["model.width"].model_copy(update={"values": (8, TOO_WIDE)})
    sweep = tiny_sweep.model_copy(
        update={
            "space": {"model.width": width},
            "splits": tiny_sweep.splits[:1],
            "prune": tiny_sweep.prune.model_copy(update={"scheduler": "none"}),
            "budget": tiny_sweep.budget.model_copy(update={"trials": 3, "concurrent": 1}),
            "failure": tiny_sweep.failure.model_copy(
                update={"retries": 0, "max_failed_fraction": 1.0}
            ),
        }
    )
    rows = {row.configuration["model.width"]: row for row in tune(sweep).leaderboard}
    assert {width: row.state for width, row in rows.items()} == {
        16: "complete",
        8: "complete",
        TOO_WIDE: "failed",
    }
    said = rows[TOO_WIDE].error
    assert said is not None
    assert said.startswith("out of memory: ")
    lines = (sweep.directory / "ledger.jsonl").read_text().splitlines()
    assert said in [json.loads(line).get("error") for line in lines]
    study = optuna.load_study(
        study_name=sweep.name, storage=f"sqlite:///{sweep.directory / 'study.db'}"
    )
    [infeasible] = [one for one in study.get_trials() if one.constraints]
    assert infeasible.params["model.width"] == TOO_WIDE
