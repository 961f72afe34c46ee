"""Ctrl-C and SIGTERM: one line, the usual status, nothing left behind, and a rerun goes on."""

import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import anndata
import pytest
import yaml

from cluster.runs.directory import RunDirectory
from cluster.settings.config import RunConfig
from cluster.train import train_here
from tests.cli.test_on_a_terminal import RUN, TRAINING
from tests.terminal import Ended, Running

INT, TERM = signal.SIGINT, signal.SIGTERM
SOON = 10.0  # seconds, on a machine that may be busy


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary directory of the command's own; its path is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="t", dir="/tmp"))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


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
    arguments: Sequence[object], number: signal.Signals, home: Path, temporary: Path
) -> None:
    if arguments[0] == "ingest":
        from data_store.simulate import SimulateOptions, simulate

        simulate(SimulateOptions(cells=30_000, genes=500)).write_h5ad(home / "large.h5ad")
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
@pytest.mark.timeout(300)
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
    require_stopped(ended, number, temporary=temporary, kept=kept)
    if learning:
        [step] = map(int, re.findall(r"step (\d+) is kept", ended.said[0]))
        directory = RunDirectory(home / "runs" / yaml.safe_load((home / file).read_text())["name"])
        assert directory.newest_step == step
        assert directory.checkpoint() is not None


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
@pytest.mark.timeout(300)
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
@pytest.mark.timeout(300)
def test_a_second_signal_ends_at_once(home: Path, temporary: Path) -> None:
    running = Running(["train", "run.yaml"], cwd=home, terminal=False)
    running.wait_for("starting Ray")
    running.send(INT)
    running.send(TERM)
    ended = running.end()
    assert len(ended.said) == 1
    assert ended.status in (130, 143)
    assert ended.seconds < 3
    assert ended.left == []


def test_an_interrupt_that_a_callback_swallows_is_raised_again(tmp_path: Path) -> None:
    program = (
        "import cli.app, signal, sys, time, os\n"
        "class Swallows:\n"
        "    def __del__(self):\n"
        "        print('ready', flush=True)\n"
        "        while True: time.sleep(0.01)\n"
        "def work(arguments, stopping):\n"
        "    Swallows()\n"
        "    while True: time.sleep(0.01)\n"
        "cli.app.run = work\n"
        "from cli.main import main\n"
        "main()\n"
    )
    said, seconds = _interrupted(program)
    assert said == "scdfm: interrupted; run the command again to go on\n"
    assert seconds < 4  # it did not wait for the last resort


@pytest.mark.slow
@pytest.mark.ray
def test_a_command_that_calls_ray_until_the_end_is_not_ended_by_ray(temporary: Path) -> None:
    program = (
        "import cli.app, ray\n"
        "from cluster.session import session\n"
        "def work(arguments, stopping):\n"
        "    with session(cpus=1):\n"
        "        print('ready', flush=True)\n"
        "        while True:\n"
        "            try: ray.put(1)\n"
        "            except BaseException: pass\n"
        "cli.app.run = work\n"
        "from cli.main import main\n"
        "main()\n"
    )
    said, _ = _interrupted(program)
    assert said.endswith("scdfm: interrupted; run the command again to go on\n")


def test_the_second_signal_ends_a_command_whose_library_lets_no_python_run() -> None:
    program = (
        "import cli.app, ctypes\n"
        "def work(arguments, stopping):\n"
        "    print('ready', flush=True)\n"
        "    ctypes.PyDLL(None).sleep(100)\n"  # keeps the interpreter's lock
        "cli.app.run = work\n"
        "from cli.main import main\n"
        "main()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.2)
        began = time.monotonic()
        process.send_signal(INT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(INT)
        assert process.wait(10) == -INT  # which a shell calls 130
    assert time.monotonic() - began < 5


def _interrupted(program: str) -> tuple[str, float]:
    """What a program says when it is interrupted once it is ready, and the seconds to its end."""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        began = time.monotonic()
        process.send_signal(INT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + INT
    return said, time.monotonic() - began
