import resource
from pathlib import Path
from typing import Any

import pytest

from sweeps.ledger import Ledger


def begin(key: str) -> dict[str, Any]:
    return {"event": "start", "trial": key, "configuration": {"graph.k": 4}, "baseline": False}


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path)
    ledger.write(begin("a"))
    ledger.write({"event": "split", "trial": "a", "split": 0, "value": 1.0})
    ledger.write({"event": "split", "trial": "a", "split": 1, "value": 3.0})
    ledger.write({"event": "complete", "trial": "a", "seconds": 2.0})
    return ledger


def test_events_add_up_to_a_trial(ledger: Ledger) -> None:
    (trial,) = ledger.trials()
    assert (trial.state, trial.mean, trial.seconds) == ("complete", 2.0, 2.0)


def test_a_torn_last_line_is_left_out(ledger: Ledger) -> None:
    before = list(ledger.events())
    with ledger.path.open("a") as file:
        file.write('{"event": "failed", "tri')
    assert list(ledger.events()) == before


@pytest.mark.parametrize(
    ("whole", "changed"),
    [
        ('"split": 0', '"spl\0t": 0'),
        ('"split": 0', '"splat": 0'),
        ('"trial": "a", "split": 0', '"trial": "c", "split": 0'),
        ('"event": "split"', '"evemt": "split"'),
        ('"time"', '"timf"'),
    ],
)
def test_a_damaged_line_is_named_by_its_number(ledger: Ledger, whole: str, changed: str) -> None:
    first, second, rest = ledger.path.read_text().split("\n", 2)
    ledger.path.write_text("\n".join([first, second.replace(whole, changed), rest]))
    with pytest.raises(ValueError, match="line 2 is damaged; restore it"):
        ledger.trials()


def test_what_is_written_after_a_torn_line_stands_alone(ledger: Ledger) -> None:
    before = len(list(ledger.events()))
    with ledger.path.open("a") as file:
        file.write('{"event": "failed", "tri')
    ledger.mend()
    ledger.write(begin("b"))
    assert len(list(ledger.events())) == before + 1


def test_a_line_that_a_full_disk_cuts_off_does_not_swallow_the_next(ledger: Ledger) -> None:
    before, size = list(ledger.events()), ledger.path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            ledger.write(begin("lost"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    ledger.write(begin("b"))
    assert list(ledger.events())[:-1] == before
    assert ledger.trials()[-1].key == "b"


def test_nothing_follows_the_end_of_a_trial_that_is_complete(ledger: Ledger) -> None:
    ledger.write({"event": "failed", "trial": "a", "seconds": 1.0, "error": "StorageError: away"})
    (trial,) = ledger.trials()
    assert (trial.state, trial.error, trial.seconds) == ("complete", None, 2.0)


@pytest.mark.parametrize("end", [b"", b"\xff"], ids=["cut off", "no text"])
def test_a_damaged_line_in_the_middle_is_named(ledger: Ledger, end: bytes) -> None:
    lines = ledger.path.read_bytes().splitlines()
    ledger.path.write_bytes(b"\n".join([lines[0], lines[1][:9] + end, *lines[2:]]) + b"\n")
    with pytest.raises(ValueError, match="line 2 is damaged"):
        ledger.trials()


def test_a_trial_that_began_twice_is_one_trial(ledger: Ledger) -> None:
    ledger.write(begin("b"))
    ledger.write(begin("b"))
    assert [trial.number for trial in ledger.trials()] == [1, 2]
    assert [trial.over for trial in ledger.trials()] == [True, False]


def test_failed_trials_get_another_chance_after_the_sweep_was_stopped_for_them(
    ledger: Ledger,
) -> None:
    ledger.write(begin("b"))
    ledger.write({"event": "failed", "trial": "b", "seconds": 1.0, "error": "E: no"})
    assert ledger.trials()[1].over
    ledger.write({"event": "abort"})
    assert not ledger.trials()[1].over
    assert ledger.trials()[0].over


def test_pauses_between_sessions_do_not_count(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    for time in (0, 3600):
        ledger.write({"event": "session", "time": 10 * time})
        ledger.write({**begin("a"), "time": 10 * time + 1800})
    assert ledger.hours() == pytest.approx(1.0)
