"""A whole sweep through Ray Tune: conditions, ties, limits, no gain, further seeds, more trials."""

import json
from typing import Any

import optuna
import pytest

from cluster.work.cost.parameters import count_parameters
from sweeps import SweepConfig, tune
from sweeps.directory import SweepDirectory
from sweeps.events import SweepEvent
from sweeps.schema.files import make_sweep

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(300)]

SPACE = {
    "model.width": {"type": "choice", "values": [8, 16, 64]},
    "model.heads": {"tie": "model.width // 4"},
    "graph.k": {"type": "int", "low": 4, "high": 12, "when": {"model.width": 16}},
}


@pytest.mark.usefixtures("ray_session")
def test_a_sweep_ends_is_extended_and_knows_how_sure_its_best_is(
    tiny: dict[str, Any], tiny_sweep: SweepConfig
) -> None:
    most = count_parameters(tiny_sweep.run({"model.width": 16}, split=0))
    asked = {
        **tiny,
        "base": tiny_sweep.base,
        "splits": tiny["splits"][:1],
        "space": SPACE,
        "enqueue": [{"model.width": 8}],
        "search": {"sampler": "random", "seed": 1},
        "prune": {"scheduler": "median", "least": 1},
        "limits": {"parameters": most},
        "budget": {"trials": 2, "concurrent": 1, "device_hours": 9},
        "confirm": {"top": 1, "seeds": 2},
    }
    sweep = make_sweep(asked, where="sweep")
    told: list[SweepEvent] = []
    first = tune(sweep, report=told.append)
    directory = SweepDirectory(sweep.directory)
    by_trial = {row.trial: row for row in first.leaderboard}
    assert by_trial[1].baseline
    assert by_trial[2].configuration == {"model.width": 8, "model.heads": 2, "graph.k": 4}
    assert all(one.trials == 2 for one in told)
    again = {one.configuration["seed"] for one in directory.ledger.repeats()}
    assert again == {1}
    assert first.leaderboard[0].over_seeds is not None or first.leaderboard[0].state != "complete"
    assert json.loads(directory.choice.read_text())["choice"] == first.choice
    assert first.choice.startswith(f"trial {first.leaderboard[0].trial}")

    ledger = directory.ledger.path.read_text()
    assert tune(sweep).choice == first.choice  # without Ray, and nothing is written
    assert directory.ledger.path.read_text() == ledger

    more = tune(sweep, extend=1)
    assert len(more.leaderboard) == 3
    new = next(row for row in more.leaderboard if row.trial not in by_trial)
    assert new.configuration["model.heads"] == new.configuration["model.width"] // 4
    assert new.configuration["model.width"] < 64
    storage = f"sqlite:///{directory.study}"
    study = optuna.load_study(study_name="tiny", storage=storage)
    trained = [one for one in study.get_trials() if "trial" in one.user_attrs]
    assert [one.user_attrs["trial"] for one in trained] == [one.number for one in trained]
    # The base lies outside the space: its heads are not tied. Refused proposals take numbers, too.
    assert [one.number for one in trained] == [2, new.trial]
    with pytest.raises(ValueError, match="--extend") as caught:
        tune(make_sweep({**asked, "budget": {"trials": 9}}, where="sweep"), extend=1)
    assert "6 of 9 trials are left" in str(caught.value)
