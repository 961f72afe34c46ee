"""How a signal reaches a command in a callback, in Ray, or in a library that hears nothing."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.terminal import caught, heard

INT, TERM = signal.SIGINT, signal.SIGTERM


def test_an_interrupt_that_a_callback_swallows_is_raised_again() -> None:
    program = (
        "import cli.app, cli.main, time\n"
        "class Swallows:\n"
        "    def __del__(self):\n"
        "        print('ready', flush=True)\n"
        "        while True: time.sleep(0.01)\n"
        "def work(arguments, stopping):\n"
        "    Swallows()\n"
        "    try:\n"
        "        while True: time.sleep(0.01)\n"
        "    finally: print('raised again', flush=True)\n"
        "cli.app.run = work\n"
        "cli.main._PATIENCE = 100\n"  # the last resort does not come first
        "cli.main.main()\n"
    )
    out, said = _interrupted(program)
    assert out == "raised again\n"
    assert said == "scdfm: interrupted; run the command again to go on\n"


def test_a_second_signal_is_not_held_up_by_a_library_that_waits_for_what_it_kills() -> None:
    program = (
        "import cli.app, ctypes, os, signal, sys, time, types\n"
        "session = types.ModuleType('cluster.session')\n"
        "killed = []\n"
        "def abandon():\n"
        "    killed.append(1)\n"
        "    time.sleep(0.5)\n"  # the other thread may run
        "session.abandon = abandon\n"
        "sys.modules['cluster.session'] = session\n"
        "def work(arguments, stopping):\n"
        "    sys.setswitchinterval(100)\n"  # the first is not heard before the second is sent
        "    for number in (signal.SIGINT, signal.SIGTERM): os.kill(os.getpid(), number)\n"
        "    sys.setswitchinterval(0.005)\n"
        "    while not killed: time.sleep(0.01)\n"
        "    ctypes.PyDLL(None).sleep(300)\n"  # keeps the interpreter's lock
        "cli.app.run = work\n"
        "from cli.main import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 128 + TERM
    assert done.stderr == "scdfm: terminated; run the command again to go on\n"


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
    _, said = _interrupted(program)
    assert said.endswith("scdfm: interrupted; run the command again to go on\n")


def test_the_second_signal_ends_a_command_whose_library_lets_no_python_run() -> None:
    program = (
        "import cli.app, ctypes, sys, time\n"
        "def work(arguments, stopping):\n"
        "    library = ctypes.PyDLL(None)\n"  # keeps the interpreter's lock
        "    sys.setswitchinterval(1_000)\n"  # nor is it asked for between two calls
        "    time.sleep(0.01)\n"  # with what was asked before
        "    library.write(1, b'ready\\n', 6)\n"
        "    library.sleep(300)\n"
        "cli.app.run = work\n"
        "from cli.main import main\n"
        "main()\n"
    )
    with (
        heard(),
        subprocess.Popen(
            [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(INT)
        while caught(process.pid, INT):  # the next one is left to the kernel
            time.sleep(0.01)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)
        process.send_signal(INT)
        try:
            assert process.wait(60) == -INT  # which a shell calls 130
        finally:
            process.kill()


def _interrupted(program: str) -> tuple[str, str]:
    """What a program prints, and says, when it is interrupted once it is ready."""
    with (
        heard(),
        subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(INT)
        try:
            out, said = process.communicate(timeout=100)
        finally:
            process.kill()
    assert process.returncode == 128 + INT
    return out, said
