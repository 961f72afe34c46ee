"""Two sweeps share a cluster; a node dies under them, and both end as if it had not."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeps import SweepConfig
from sweeps.ledger import Ledger
from sweeps.objective import run_trial
from tests.cluster.nodes.cluster_of_two import Two
from tests.cluster.nodes.test_lost_node import Driver

pytestmark = [pytest.mark.slow, pytest.mark.ray, pytest.mark.timeout(1_000)]


@pytest.fixture
def two() -> Iterator[Two]:
    cluster = Two()
    yield cluster
    cluster.end()


def scores(sweep: SweepConfig) -> list[tuple[Any, ...]]:
    """What the ledger tells of each (trial, split), as often as it does."""
    return sorted(
        (event["trial"], event["split"], event["value"])
        for event in Ledger(sweep.directory).events()
        if event["event"] == "split"
    )


def undisturbed(sweep: SweepConfig, *, like: SweepConfig) -> list[float]:
    """The scores of the trials of a sweep, trained here."""
    lines: list[Any] = []
    for trial in Ledger(like.directory).trials():
        run_trial(trial.configuration, sweep=sweep, report=lines.append)
    return sorted(line["score"] for line in lines if "score" in line)


def test_two_sweeps_at_once_and_the_loss_of_a_node_change_no_score(
    two: Two, tiny_sweep: SweepConfig, tmp_path: Path
) -> None:
    base = dict(tiny_sweep.base)
    base["training"] = {**base["training"], "steps": 120, "validate_every": 20}
    sweeps = [
        tiny_sweep.model_copy(
            update={
                "name": name,
                "base": base,
                "splits": tiny_sweep.splits[:1],
                "prune": tiny_sweep.prune.model_copy(update={"scheduler": "none"}),
                "budget": tiny_sweep.budget.model_copy(update={"trials": 2, "concurrent": 1}),
                "search": tiny_sweep.search.model_copy(update={"seed": seed}),
                "reuse": False,
            }
        )
        for seed, name in enumerate(("one", "other"))
    ]
    with ExitStack() as stack:
        drivers = []
        for sweep in sweeps:
            file = tmp_path / f"{sweep.name}.yaml"
            file.write_text(yaml.safe_dump(json.loads(sweep.model_dump_json(exclude_unset=True))))
            drivers.append(stack.enter_context(Driver(two, "tune", file)))
        deadline = time.monotonic() + 300
        while not all("round" in _events(sweep) for sweep in sweeps):
            assert time.monotonic() < deadline, [driver.lines for driver in drivers]
            time.sleep(0.05)
        two.tell("remove")
        for driver in drivers:
            assert driver.end(seconds=300) == 0, driver.lines
    for sweep in sweeps:
        assert [one.state for one in Ledger(sweep.directory).trials()] == ["complete", "complete"]
        found = scores(sweep)
        assert len({(trial, split) for trial, split, _ in found}) == len(found) == 2
        alone = sweep.model_copy(update={"name": f"{sweep.name}-alone"})
        assert sorted(value for *_, value in found) == undisturbed(alone, like=sweep)


def _events(sweep: SweepConfig) -> set[str]:
    return {event["event"] for event in Ledger(sweep.directory).events()}
