"""Work that actors share is done whatever becomes of them, and a piece that ends them is given up.

Every actor here has its own process, which some pieces end.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import ActorDiedError

from cluster.nodes import team as module
from cluster.nodes.team import Team

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120), pytest.mark.usefixtures("ray_session")]


@pytest.fixture(autouse=True)
def _little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOSSES", 1)
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(module, "_LOOK", 0.1)


class Mortal:
    """Doubles numbers; dies of each number as often as a folder allows."""

    def __init__(self, deaths: Path, starts: bool = True) -> None:
        if not starts:
            raise RuntimeError("no store here")
        self.deaths = deaths

    def double(self, number: int) -> int:
        """Twice the number."""
        for death in sorted(self.deaths.glob(f"{number}-*")):
            death.unlink()
            os._exit(1)
        if number < 0:
            raise ValueError(f"expected a number of 0 or more, got {number}")
        return 2 * number


def team(folder: Path, *, actors: int, **deaths: int) -> Team[int]:
    for number, times in deaths.items():
        for time in range(times):
            (folder / f"{number[1:]}-{time}").touch()
    kind: Any = ray.remote(num_cpus=0)(Mortal)
    return Team(
        kind,
        [(folder,)] * actors,
        ask=lambda actor, number: actor.double.remote(number),
        called=lambda number: f"number {number}",
    )


def answers(asked: Team[int], pieces: Iterable[int]) -> dict[int, int]:
    found = [one for one in asked.work(pieces) if one is not None]
    assert len(found) == len({one.piece for one in found})
    return {one.piece: one.answer for one in found}


def test_each_piece_is_done_once_though_actors_are_lost_more_often_than_a_piece_may_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mortal = team(tmp_path, actors=1, n1=1, n3=1)
    assert answers(mortal, range(5)) == {number: 2 * number for number in range(5)}
    said = [line.partition(" (")[0] for line in caplog.messages if "was lost" in line]
    assert said == ["number 1 was lost", "number 3 was lost"]
    assert mortal.actors == []  # nobody holds room any more


def test_a_piece_that_ends_every_process_is_given_up_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError) as refused:
        answers(team(tmp_path, actors=1, n0=2), range(2))
    said = str(refused.value)
    assert said.startswith("number 0 was given up after it was lost 2 times (")
    assert said.endswith("; run the command again to go on")
    assert "\n" not in said


def test_what_an_actor_raises_is_raised_at_once(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a number of 0 or more, got -1"):
        answers(team(tmp_path, actors=1), [-1])


def test_actors_that_cannot_begin_say_why(tmp_path: Path) -> None:
    kind: Any = ray.remote(num_cpus=0)(Mortal)
    idle: Team[int] = Team(
        kind,
        [(tmp_path, False)],
        ask=lambda actor, number: actor.double.remote(number),
        called=str,
    )
    with pytest.raises(ActorDiedError, match="no store here"):
        answers(idle, [1])
