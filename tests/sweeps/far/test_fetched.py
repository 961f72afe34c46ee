"""What a process of a sweep in an object store fetches: what it reads, and no model but to copy."""

import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cli.show.describe import describe
from cluster.runs.directory import RunDirectory
from cluster.storage.mirror import mirror_of
from cluster.storage.objects import Objects
from cluster.storage.places import folder_of
from cluster.storage.reading import fetched
from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.ledger import Event
from sweeps.objective import Told, run_trial, tune_trial
from sweeps.proposals.cells import check_data
from sweeps.schema.sweep import Configuration
from sweeps.space import split_run
from sweeps.watching.now import LOOKED_AT, now
from sweeps.winners.concluded import conclude


class PrunedError(Exception):
    """Ray Tune has ended a trial."""


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Bytes of each file that was fetched, by its name in its run or sweep."""
    found: dict[str, int] = {}
    fetch = Objects.fetch

    def told(self: Objects, name: str, file: Path) -> bool:
        there = fetch(self, name, file)
        place = self.where.partition("/tiny")[2]
        found[f"{place}/{name.removeprefix('parts/').rpartition('.')[0]}"] = file.stat().st_size
        return there

    monkeypatch.setattr(Objects, "fetch", told)
    return found


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a disk that has no room for larger ones."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def trained(sweep: SweepConfig, width: int, *, pruned: bool) -> list[Event]:
    """A trial in the store, and its lines of the ledger; a pruned one has its states."""
    tried: Configuration = {**sweep.baseline, "model.width": width}
    scores: list[float] = []

    def report(told: Told) -> None:
        if pruned:
            raise PrunedError
        if "score" in told:
            scores.append(told["score"])

    with suppress(PrunedError):
        run_trial(tried, sweep=sweep, report=report)
    key = split_run(sweep, tried, split=0).directory.parent.name
    begun: Event = {"event": "start", "trial": key, "configuration": tried, "number": width}
    begun["baseline"] = tried == sweep.baseline
    splits: list[Event] = [
        {"event": "split", "trial": key, "split": at, "value": value}
        for at, value in enumerate(scores)
    ]
    end: Event = {"event": "pruned" if pruned else "complete", "trial": key, "seconds": 1.0}
    return [begun, *splits, end]


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore:`report` is meant:UserWarning"
)  # of Ray Tune, which is not there
def test_a_choice_fetches_the_winners_models_and_a_trial_nothing_but_the_lock(
    tiny_sweep: SweepConfig,
    bucket: str,
    files: dict[str, int],
    another_process: Callable[[], None],
) -> None:
    values = tiny_sweep.model_dump(mode="json", exclude_unset=True)
    values |= {"splits": tiny_sweep.splits[:1], "output": f"{bucket}/runs", "reuse": False}
    sweep = SweepConfig.model_validate(values)
    lines = [line for width in (16, 8) for line in trained(sweep, width, pruned=width == 8)]
    winner, loser = (line["trial"] for line in lines if line["event"] == "start")
    directory = SweepDirectory(sweep.directory)
    with directory.held():
        directory.lock.take(sweep, fingerprint=check_data(sweep), begun=False)
        for line in lines:
            directory.ledger.write(line)
    place = f"{bucket}/runs/tiny"
    ended = f"{place}/trials/{loser}/split-0"
    assert any(name.startswith("checkpoints/") for name in mirror_of(ended).names())

    another_process()
    directory = SweepDirectory(sweep.directory)
    files.clear()
    with directory.held():
        conclude(sweep, directory.ledger)
    run = f"/trials/{winner}/split-0"
    read = {name for name in files if name.startswith("/trials/")}
    assert {name for name in read if "/model/" not in name} == {f"{run}/best.json"}
    assert all(name.startswith(run) for name in read)
    names = mirror_of(ended).names()
    assert not any(name.startswith("checkpoints/") for name in names)
    assert "model/model.safetensors" in names
    best = {name for name in mirror_of(place).names() if name.startswith("best/")}
    assert "best/model.safetensors" in best
    assert RunDirectory(fetched(ended)).model is not None, "its folder is empty in this process"

    another_process()
    directory = SweepDirectory(sweep.directory).fetch()
    kept = RunDirectory(folder_of(f"{place}{run}")).fetch().path / "model/model.safetensors"
    with directory.held():
        assert not directory.best.exists(), "it was fetched"
        directory.ledger.close()
        assert best <= {*mirror_of(place).names()}
        full = files_of_at_most(kept.stat().st_size - 1)
        with full, pytest.raises(OSError, match="too large"):
            conclude(sweep, directory.ledger)
        directory.publish()
        assert best <= {*mirror_of(place).names()}, "a full disk took the best model"
        conclude(sweep, directory.ledger)
    assert best == {name for name in mirror_of(place).names() if name.startswith("best/")}

    another_process()
    files.clear()
    tune_trial(sweep.baseline, sweep, Path.cwd(), {})
    assert [name for name in files if "/trials/" not in name] == ["/sweep.lock.yaml"]

    another_process()
    files.clear()
    assert now(SweepDirectory(folder_of(place)).fetch(LOOKED_AT)).finished
    assert {*files} == {f"/{name}" for name in ("sweep.lock.yaml", "ledger.jsonl", "choice.json")}
    files.clear()
    assert SweepDirectory(sweep.directory).seconds(winner) > 0
    assert {*files} == {f"{run}/times.jsonl"}

    another_process()
    files.clear()
    facts = describe(Path(place))
    assert (facts["kind"], facts["state"]) == ("sweep", "done")
    looked_at = {"sweep.lock.yaml", "ledger.jsonl", "choice.json"}
    cards = {"best/model.json", "best/manifest.json"}
    assert {*files} == {f"/{name}" for name in looked_at | cards}
    assert RunDirectory(folder_of(f"{place}{run}")).model is None
