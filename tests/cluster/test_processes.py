"""Ending the processes that one has started, and theirs."""

import subprocess
import sys
import time

from cluster.processes import descendants

SLEEP = "import time; time.sleep(300)"
FATHER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}])"


def test_children_and_grandchildren_are_found_and_end() -> None:
    with subprocess.Popen([sys.executable, "-c", FATHER]) as father:
        while len(descendants(father.pid)) < 1:
            time.sleep(0.05)
        family = {father.pid, *descendants(father.pid)}
        assert family <= descendants()
        father.kill()


def test_a_process_can_end_all_that_it_started() -> None:
    code = (
        "import subprocess, sys, time\n"
        "from cluster.processes import descendants, kill_descendants\n"
        f"subprocess.Popen([sys.executable, '-c', {FATHER!r}])\n"
        "while len(descendants()) < 2: time.sleep(0.05)\n"
        "kill_descendants(patience=60)\n"
        "print(len(descendants()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"


def test_a_program_can_be_halted_instead_and_killed_last() -> None:
    code = (
        "import subprocess, sys, time\n"
        "from pathlib import Path\n"
        "from cluster.processes import descendants, kill, kill_descendants\n"
        f"subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
        "sleeps = subprocess.Popen(['sleep', '300'])\n"
        "while Path(f'/proc/{sleeps.pid}/comm').read_text() != 'sleep\\n': time.sleep(0.01)\n"
        "halted = kill_descendants(but='sleep', patience=60)\n"
        "print(halted == {sleeps.pid} == descendants(), sleeps.poll())\n"
        "kill(halted)\n"
        "print(sleeps.wait(60))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True None\n-9\n"
