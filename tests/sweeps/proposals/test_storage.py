"""Where a study is kept: moved between files, made again from the ledger, in PostgreSQL."""

import os
import resource
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from inspect import signature
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.samplers import (
    BaseSampler,
    CmaEsSampler,
    GridSampler,
    NSGAIISampler,
    QMCSampler,
    RandomSampler,
    TPESampler,
)
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError

from sweeps import SweepConfig
from sweeps.directory import SweepDirectory
from sweeps.ledger import Trial
from sweeps.proposals import storage
from sweeps.proposals.search import StudySearch
from sweeps.proposals.storage import StudyAwayError, answering, open_storage
from sweeps.schema.files import make_sweep
from sweeps.space import identity, sampler

optuna.logging.set_verbosity(optuna.logging.ERROR)

SPACE = {
    "graph.k": {"type": "int", "low": 4, "high": 30},
    "model.width": {"type": "choice", "values": [8, 16]},
}


def sweep_of(tiny: dict[str, Any], folder: Path, storage: str | None = None) -> SweepConfig:
    values = {**tiny, "output": str(folder), "space": SPACE, "study": {"storage": storage}}
    return make_sweep(values, where="sweep")


def search_of(sweep: SweepConfig, earlier: list[Trial]) -> StudySearch:
    sweep.directory.mkdir(exist_ok=True)
    name = locked.study_name if (locked := SweepDirectory(sweep.directory).lock.read()) else "tiny"
    first = [] if earlier else [{"graph.k": 2, "model.width": 8}]  # outside the space
    numbers = {identity(one.configuration): one.number for one in earlier}
    return StudySearch(
        sweep, storage=open_storage(sweep), name=name, earlier=earlier, first=first,
        numbers=numbers,
    )  # fmt: skip


def go_on(sweep: SweepConfig, earlier: list[Trial], *, trials: int) -> list[Trial]:
    """Trials with those of one more session."""
    search, found = search_of(sweep, earlier), [*earlier]
    for at in range(trials):
        proposed = search.suggest(str(at))
        value = float(str(proposed["graph.k"]))
        search.on_trial_complete(str(at), {"value": value, "rung": 1, "complete": True})
        number = search._numbers[identity(proposed)]
        found.append(
            Trial(
                str(number), number, proposed, baseline=False, state="complete",
                values={0: value, 1: value},
            )
        )  # fmt: skip
    return found


def told(sweep: SweepConfig) -> dict[int, float]:
    """Values of the study by Optuna's own numbers."""
    storage = open_storage(sweep)
    (name,) = optuna.get_all_study_names(storage)
    study = optuna.load_study(study_name=name, storage=storage)
    return {one.number: one.value for one in study.trials if one.state == TrialState.COMPLETE}


def wanted(trials: list[Trial]) -> dict[int, float]:
    """The same of the sweep, by its numbers; the first is outside the space."""
    return {one.number: one.mean for one in trials[1:]}


def test_numbers_are_those_of_the_study_wherever_it_is_moved(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    file = sweep_of(tiny, tmp_path)
    trials = go_on(file, [], trials=4)
    assert [one.number for one in trials] == [1, 2, 3, 4]
    assert told(file) == wanted(trials)
    journal = sweep_of(tiny, tmp_path, "journal")
    calm = go_on(file, trials, trials=3)
    shutil.copy(file.directory / "study.db", tmp_path / "seven.db")
    (file.directory / "study.db").rename(file.directory / "old.db")
    # The file is gone: the study is made again from what the ledger knows.
    trials = go_on(journal, calm, trials=2)
    assert told(journal) == wanted(trials)
    # Back in a file, which is copied, since it is there.
    trials = go_on(file, trials, trials=1)
    assert told(file) == wanted(trials)
    assert [one.number for one in trials] == list(range(1, 11))


def test_a_study_that_was_left_behind_is_told_what_ended_meanwhile(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    file, journal = sweep_of(tiny, tmp_path), sweep_of(tiny, tmp_path, "journal")
    done = go_on(file, [], trials=2)
    left = Trial("3", 3, search_of(file, done).suggest("killed"), baseline=False)
    elsewhere = go_on(journal, [*done, left], trials=3)
    elsewhere.remove(left)
    assert [one.number for one in elsewhere] == [1, 2, 3, 4, 5]
    assert elsewhere[2].configuration == left.configuration
    failed = Trial("6", 6, {"graph.k": 5, "model.width": 8}, baseline=False, state="failed")
    back = go_on(file, [*elsewhere, failed], trials=1)
    assert back[-1].number == 7
    back.remove(failed)
    assert told(file) == wanted(back)
    # A kill while it was made again leaves a study that lacks the last ones.
    (file.directory / "study.db").rename(tmp_path / "old.db")
    (file.directory / "study.journal").unlink()
    search_of(file, back[:2])
    assert go_on(file, back, trials=1)[-1].number == 8
    assert set(wanted(back).items()) < set(told(file).items())


def test_a_study_on_a_full_disk_is_called_by_its_file(tiny: dict[str, Any], tmp_path: Path) -> None:
    sweep = sweep_of(tiny, tmp_path)
    full = OperationalError("INSERT", {}, sqlite3.OperationalError("database or disk is full"))
    said = rf"^{sweep.directory}/study.db cannot be read or written: database or disk is full; what"
    with pytest.raises(StudyAwayError, match=said), answering(sweep):
        raise full


def test_a_journal_on_a_full_disk_is_called_by_its_file_and_goes_on_whole(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    sweep = sweep_of(tiny, tmp_path, "journal")
    trials = go_on(sweep, [], trials=2)
    file = SweepDirectory(sweep.directory).study_journal
    search, before = search_of(sweep, trials), file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    said = rf"^{file} cannot be read or written: File too large; what was trained is kept: see to "
    try:
        with pytest.raises(StudyAwayError, match=said), answering(sweep):
            search.suggest("lost")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == before
    with file.open("a") as killed:
        killed.write('{"op_code":')
    trials = go_on(sweep, trials, trials=1)
    assert told(sweep) == wanted(trials)


def test_an_older_study_that_counted_from_0_goes_on_without_a_number_twice(
    tiny: dict[str, Any], tmp_path: Path
) -> None:
    sweep = sweep_of(tiny, tmp_path)
    sweep.directory.mkdir()
    study = optuna.create_study(study_name="tiny", storage=open_storage(sweep))
    known = {
        "graph.k": optuna.distributions.IntDistribution(4, 30),
        "model.width": optuna.distributions.CategoricalDistribution([8, 16]),
    }
    earlier = []
    for number, k in enumerate((7, 9), start=1):
        tried = {"graph.k": k, "model.width": 8}
        study.add_trial(optuna.create_trial(params=tried, distributions=known, value=1.0))
        earlier.append(Trial(str(k), number, tried, baseline=False, state="complete"))
    study.enqueue_trial({"graph.k": 12, "model.width": 16})  # what was drawn might be one of those
    never_begun = study.ask(known)
    assert never_begun.number == 2
    trials = go_on(sweep, earlier, trials=2)
    assert [one.number for one in trials] == [1, 2, 3, 4]
    assert trials[2].configuration == never_begun.params
    assert {3, 4} <= told(sweep).keys()


@pytest.mark.parametrize(
    ("storage", "said"),
    [
        ("postgresql://me:hush@db/studies", "must not hold a password"),
        ("postgresql://db/studies?password=hush", "must not hold a password"),
        ("sqlite:////mnt/nfs/hush.db", "must be postgresql://USER@HOST/DATABASE or journal"),
        ("postgresql://hush@db", "must be postgresql://USER@HOST/DATABASE or journal"),
    ],
)
def test_a_storage_that_is_not_safe_is_one_line_that_does_not_repeat_it(
    tiny: dict[str, Any], tmp_path: Path, storage: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        sweep_of(tiny, tmp_path, storage)
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_argument_of_a_sampler_is_said(tiny: dict[str, Any], tmp_path: Path) -> None:
    """Defaults change between versions of Optuna; what it has deprecated may not be passed."""
    old = {
        "consider_prior", "prior_weight", "consider_magic_clip", "consider_endpoints", "gamma",
        "weights", "warn_independent_sampling", "constraints_func", "restart_strategy",
        "inc_popsize",
    }  # fmt: skip
    said: dict[type[BaseSampler], set[str]] = {}

    def spy(kind: type[BaseSampler]) -> Any:
        def made(*args: Any, **given: Any) -> BaseSampler:
            said[kind] = {*given, *list(signature(kind.__init__).parameters)[1 : len(args) + 1]}
            return kind(*args, **given)

        return made

    kinds = (TPESampler, RandomSampler, GridSampler, QMCSampler, CmaEsSampler, NSGAIISampler)
    with pytest.MonkeyPatch.context() as patch:
        for kind in kinds:
            patch.setattr(f"sweeps.space.{kind.__name__}", spy(kind))
        for name in ("tpe", "random", "grid", "qmc", "cmaes", "nsga2"):
            space = {"graph.k": SPACE["graph.k"], "batch.cells": SPACE["graph.k"]}
            several = [{"metric": "mse"}, {"metric": "mae"}] if name == "nsga2" else {}
            values = {**tiny, "space": space, "search": {"sampler": name}, "objective": several}
            sweep = make_sweep(values, where="sweep")
            sampler(sweep.search, space=sweep.whole_space, number=0)
    for kind in kinds:
        every = {*signature(kind.__init__).parameters} - {"self"}
        assert every - old <= said[kind] | old, kind


BIN = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)


def _free_port() -> int:
    """A port that the system gives to nobody by itself, also while the server is away."""
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as tried, suppress(OSError):
            tried.bind(("127.0.0.1", port))
            return port
    raise OSError("no port is free")


class Server:
    """A PostgreSQL server on loopback, with a password."""

    def __init__(self, folder: Path) -> None:
        self.port = _free_port()
        self._data, self._folder = folder / "data", folder
        (folder / "password").write_text("hush")
        # It refuses to run as root; the directory belongs to who runs it.
        self._user = "postgres" if os.getuid() == 0 else None
        if self._user is not None:
            subprocess.run(["chown", "-R", self._user, folder], check=True)
        self._call("initdb", "-A", "scram-sha-256", "-U", "me", "--pwfile", folder / "password")

    @property
    def address(self) -> str:
        return f"postgresql://me@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self._folder} -F"
        self._call("pg_ctl", "-w", "-t", 100, "-l", self._folder / "log", "-o", options, "start")

    def stop(self) -> None:
        self._call("pg_ctl", "-w", "-t", 100, "-m", "immediate", "stop")

    def _call(self, program: str, *arguments: object) -> None:
        assert BIN is not None
        subprocess.run(
            [BIN / program, "-D", self._data, *map(str, arguments)], check=True, user=self._user,
            cwd=self._folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    if BIN is None:
        pytest.skip("PostgreSQL is not installed below /usr/lib/postgresql")
    pytest.importorskip("psycopg")
    monkeypatch.setenv("PGPASSWORD", "hush")
    # A socket's path must be short, and the server's user must be able to enter.
    folder = Path(tempfile.mkdtemp(prefix="scdfm-pg-", dir="/tmp"))
    folder.chmod(0o755)
    server = Server(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.mark.filterwarnings("ignore:.*was deleted while still open:ResourceWarning")
def test_a_study_in_postgresql_goes_on_and_a_server_that_is_away_is_one_line(
    server: Server, tiny: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = sweep_of(tiny, tmp_path, server.address)
    directory = SweepDirectory(sweep.directory)
    with directory.held():
        directory.lock.take(sweep, fingerprint="f" * 64, begun=False)
    trials = go_on(sweep, go_on(sweep, [], trials=3), trials=2)
    assert told(sweep) == wanted(trials)
    # Two sweeps of one name may share a database.
    assert directory.lock.read().study_name.startswith("tiny-")  # type: ignore[union-attr]
    assert not list(sweep.directory.glob("study*"))

    search = search_of(sweep, trials)
    server.stop()
    gone = f"^the database {server.address} of study.storage does not answer: .*; what was trained"
    monkeypatch.setattr(storage, "WAITS", (0.01, 0.01))
    with pytest.raises(StudyAwayError, match=gone), answering(sweep):
        search.suggest("lost")
    with pytest.raises(ValueError, match=f"expected a database at {server.address}") as caught:
        open_storage(sweep)
    # A server that is started again meanwhile is waited for.
    monkeypatch.setattr(storage, "WAITS", (0.5,) * 120)
    with ThreadPoolExecutor() as aside:
        starts = aside.submit(server.start)
        try:
            found = search.suggest("waits")
        finally:
            starts.result()  # why it did not start says more
    again = go_on(sweep, trials, trials=1)[-1]
    assert (again.number, again.configuration) == (6, found)
    monkeypatch.setenv("PGPASSWORD", "wrong")
    with pytest.raises(ValueError, match="password authentication failed") as denied:
        open_storage(sweep)
    for error in (caught, denied):
        assert "hush" not in str(error.value)
        assert "\n" not in str(error.value)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"hush" not in kept
