"""Ctrl-C and SIGTERM: one line, the usual status, nothing left behind, and a rerun goes on."""

import re
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

import anndata
import pytest
import yaml

from cluster.runs.directory import RunDirectory
from cluster.settings.config import RunConfig
from cluster.train import train_here
from data_store.simulate import SimulateOptions, simulate
from tests.cli.show.test_on_a_terminal import RUN, TRAINING
from tests.terminal import SOON, Ended, Running

pytestmark = pytest.mark.timeout(600)

INT, TERM = signal.SIGINT, signal.SIGTERM


@pytest.fixture
def home(tmp_path: Path, tiny_store_path: Path) -> Path:
    """A working directory with a run that takes minutes."""
    training = {**TRAINING, "steps": 20_000, "validate_every": 1_000}
    run = {**RUN, "store": str(tiny_store_path), "training": training}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    sweep = {
        "name": "search",
        "base": {name: value for name, value in run.items() if name not in ("name", "split")},
        "splits": [{"kind": "additive"}],
        "space": {"loss.mmd_weight": {"type": "float", "low": 0.01, "high": 10, "log": True}},
        "budget": {"trials": 2, "concurrent": 1},
    }
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(sweep))
    return tmp_path


@pytest.fixture
def model(home: Path) -> Path:
    """A model that has learnt for two steps."""
    training = {**TRAINING, "steps": 2}
    run = yaml.safe_load((home / "run.yaml").read_text())
    settings = {
        **run,
        "name": "model",
        "output": str(home / "runs"),
        "training": training,
        "source": "noise",
    }
    return train_here(RunConfig.model_validate(settings)).model


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Cells that take seconds to ingest."""
    path = tmp_path_factory.mktemp("large") / "large.h5ad"
    simulate(SimulateOptions(cells=60_000, genes=500)).write_h5ad(path)
    return path


def require_stopped(
    ended: Ended, number: signal.Signals, *, temporary: Path, kept: str = ""
) -> None:
    """Look at how a command ended; `kept` is a pattern of what the line says was kept."""
    word = "interrupted" if number == INT else "terminated"
    assert len(ended.said) == 1, ended.lines
    said = rf"scdfm: {word}; {kept}run the command again to go on"
    assert re.fullmatch(said, ended.said[0]), ended.lines
    assert ended.lines[-1] == ended.said[0]
    assert ended.status == 128 + number
    assert ended.seconds < SOON
    assert ended.left == []
    for noise in ("Traceback", "SIGTERM", "ray::", "*** "):
        assert noise not in ended.text
    assert list(temporary.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [INT, TERM])
@pytest.mark.parametrize("terminal", [True, False], ids=["terminal", "pipe"])
def test_a_signal_is_heard_while_libraries_load(
    number: signal.Signals, terminal: bool, home: Path, temporary: Path
) -> None:
    running = Running(["train", "run.yaml"], cwd=home, terminal=terminal)
    running.wait_until_ready()
    running.send(number)
    require_stopped(running.end(), number, temporary=temporary)


@pytest.mark.slow
@pytest.mark.parametrize("number", [INT, TERM])
@pytest.mark.parametrize(
    "arguments",
    [
        ("simulate", "large.h5ad", "--cells", 400_000, "--genes", 2_000),
        ("ingest", "large.h5ad", "large.zarr"),
    ],
    ids=["simulate", "ingest"],
)
def test_a_signal_ends_work_without_ray(
    arguments: Sequence[object],
    number: signal.Signals,
    home: Path,
    temporary: Path,
    request: pytest.FixtureRequest,
) -> None:
    if arguments[0] == "ingest":
        (home / "large.h5ad").symlink_to(request.getfixturevalue("large"))
    running = Running(arguments, cwd=home, terminal=False)
    if arguments[0] == "ingest":
        running.wait_for("counts: X")
    else:
        running.wait_until_ready()
    running.send(number)
    require_stopped(running.end(), number, temporary=temporary)
    assert {path.name for path in home.iterdir()} <= {"run.yaml", "sweep.yaml", "large.h5ad"}


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(
    ("command", "text", "number", "terminal"),
    [
        ("train", "starting Ray", TERM, False),
        ("train", "validation at step 0", INT, True),
        ("train", "validation at step 0", TERM, False),
        ("tune", "trial 1 starts", INT, True),
        ("tune", "trial 1 starts", TERM, False),
    ],
)
def test_a_signal_ends_work_with_ray(
    command: str,
    text: str,
    number: signal.Signals,
    terminal: bool,
    home: Path,
    temporary: Path,
) -> None:
    file = "run.yaml" if command == "train" else "sweep.yaml"
    running = Running([command, file], cwd=home, terminal=terminal)
    running.wait_for(text)
    running.send(number)
    learning = text.startswith("validation")
    ended = running.end()
    kept = r"step \d+ is kept; " if learning else ""
    if command == "tune":  # the trial may have begun to learn by then
        kept = "(last step of 1 trial kept; )?"
    require_stopped(ended, number, temporary=temporary, kept=kept)
    if learning:
        [step] = map(int, re.findall(r"step (\d+) is kept", ended.said[0]))
        directory = RunDirectory(home / "runs" / yaml.safe_load((home / file).read_text())["name"])
        assert directory.states.step == step
        assert directory.states.read() is not None


@pytest.mark.slow
def test_a_signal_ends_a_dry_run_and_the_process_that_measures_for_it(
    home: Path,
    temporary: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What was measured here before is not measured again.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    there = {*home.iterdir()}
    running = Running(["tune", "sweep.yaml", "--dry-run"], cwd=home, terminal=False)
    running.wait_until_ready()
    running.wait_for_process("cost.steps")
    running.send(TERM)
    require_stopped(running.end(), TERM, temporary=temporary)
    assert {*home.iterdir()} == there


def require_ended_by(
    numbers: Sequence[signal.Signals], running: Running, *, temporary: Path
) -> None:
    """Send signals at once, and look at how a command ended."""
    for number in numbers:
        running.send(number)
    ended = running.end()
    # The kernel hands over what is sent at once in an order of its own.
    last = next(one for one in numbers if ended.status == 128 + one)
    require_stopped(ended, last, temporary=temporary)


SENT = pytest.mark.parametrize(
    ("numbers", "terminal"),
    [((INT,), True), ((TERM,), False), ((INT, TERM), False)],
    ids=["Ctrl-C", "SIGTERM", "both at once"],
)


@pytest.mark.slow
@SENT
def test_a_signal_ends_a_look_at_cells_and_the_process_that_measures_steps(
    numbers: Sequence[signal.Signals], terminal: bool, home: Path, tiny_h5ad: Path, temporary: Path
) -> None:
    there = {*home.iterdir()}
    running = Running(["init", tiny_h5ad, "mine"], cwd=home, terminal=terminal)
    running.wait_for_process("cost.steps")
    require_ended_by(numbers, running, temporary=temporary)
    assert {*home.iterdir()} == there


@pytest.mark.slow
@SENT
def test_a_signal_ends_a_look_at_a_machine_though_a_server_does_not_answer(
    numbers: Sequence[signal.Signals], terminal: bool, home: Path, temporary: Path
) -> None:
    there = {*home.iterdir()}
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(100)
        store = f"http://127.0.0.1:{server.getsockname()[1]}/tiny.zarr"
        running = Running(["doctor", "--store", store], cwd=home, terminal=terminal)
        with server.accept()[0]:
            require_ended_by(numbers, running, temporary=temporary)
    assert {*home.iterdir()} == there


@pytest.mark.slow
def test_a_lost_terminal_ends_the_command(home: Path) -> None:
    running = Running(
        ["simulate", "large.h5ad", "--cells", 400_000, "--genes", 2_000], cwd=home, terminal=True
    )
    running.wait_until_ready()
    assert running.hang_up() == 128 + signal.SIGHUP
    assert running.left == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "text", "number", "terminal"),
    [
        (["evaluate", "--cells", 100_000], "generating", INT, True),
        (["compare"], "generating", TERM, False),
        (["report"], "generating", TERM, False),
        (["report"], "drawing figures", INT, True),
    ],
    ids=["evaluate", "compare", "report", "report, drawing"],
)
def test_a_signal_ends_what_judges_a_model(
    arguments: Sequence[object],
    text: str,
    number: signal.Signals,
    terminal: bool,
    model: Path,
    home: Path,
    temporary: Path,
) -> None:
    files = set(model.parent.rglob("*"))
    command, *options = arguments
    running = Running([command, model, *options], cwd=home, terminal=terminal)
    running.wait_for(text)
    running.send(number)
    require_stopped(running.end(), number, temporary=temporary)
    # What was found before the signal is whole, and nothing else is there.
    made = set(model.parent.rglob("*")) - files
    kept = model.parent / "evaluation"
    assert made == ({kept, *kept.iterdir()} if text == "drawing figures" else set())


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(("number", "terminal"), [(INT, True), (TERM, False)])
def test_a_signal_ends_a_prediction_and_what_is_written_stays(
    number: signal.Signals,
    terminal: bool,
    model: Path,
    home: Path,
    temporary: Path,
    tiny_store_path: Path,
    tiny_adata: anndata.AnnData,
) -> None:
    single = next(one for one in tiny_adata.obs["condition"] if "+" not in one and one != "control")
    arguments = ["predict", model, "--store", tiny_store_path, "--conditions", single]
    arguments += ["--cells", 40_000, "--out", "new.h5ad"]
    running = Running(arguments, cwd=home, terminal=terminal)
    running.wait_for("shards")
    running.send(number)
    require_stopped(running.end(), number, temporary=temporary)
    assert (home / "new.h5ad.partial").is_dir()


@pytest.mark.slow
@pytest.mark.ray
def test_a_second_signal_ends_at_once(home: Path, temporary: Path) -> None:
    running = Running(["train", "run.yaml"], cwd=home, terminal=False)
    running.wait_for("starting Ray")
    running.send(INT)
    running.send(TERM)
    ended = running.end()
    assert len(ended.said) == 1
    assert ended.status in (130, 143)
    assert ended.seconds < SOON
    assert ended.left == []
