"""A Ray cluster of two hosts on one machine: each has its own address, and its own mounts.

The first is this machine. The second is a network namespace, joined by a cable, with namespaces of
mounts, processes and names: where this machine has the folders of its driver, it has empty ones. It
takes root. What is installed is seen by both, as the same image on two machines would be.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from cluster.session import PRIVATE

HIDDEN = ("/tmp", "/dev/shm", "/var/tmp")  # on the second host, each an empty folder of its own
_MEMORY = 100 * 2**20  # bytes of an object store
_PATIENCE = 60.0  # seconds for a node to start
_START = """
set -e
mount -t tmpfs tmpfs /mnt
kept=0
while IFS= read -r folder; do
  [ -n "$folder" ] || continue
  kept=$((kept + 1))
  mkdir "/mnt/kept$kept"
  mount --bind "$folder" "/mnt/kept$kept"
done <<< "$KEPT"
for folder in $HIDDEN; do mount -t tmpfs tmpfs $folder; done
kept=0
while IFS= read -r folder; do
  [ -n "$folder" ] || continue
  kept=$((kept + 1))
  mkdir -p "$folder"
  mount --bind "/mnt/kept$kept" "$folder"
done <<< "$KEPT"
hostname far
printf '127.0.0.1 localhost\\n%s far\\n%s %s\\n' $FAR $NEAR $NAME > /mnt/hosts
mount --bind /mnt/hosts /etc/hosts
cd /mnt
exec "$@"
"""


def missing() -> str | None:
    """What this machine lacks for a second host, in words; None: nothing."""
    if os.geteuid() != 0:
        return "needs root"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--uts", "true"], capture_output=True
    )
    if tried.returncode:
        return f"needs namespaces: {tried.stderr.decode().strip()}"
    found = subprocess.run(["ip", "link", "show"], capture_output=True)
    return "needs ip (iproute2)" if found.returncode else None


class TwoHosts:
    """A head here, and a node on a host of its own.

    Args:
        cpus: Of the head, and of the other host.
        environment: For both, and for drivers: access to an object store, and the like. Values may
            name this machine's address as {near}.
        hidden: Folders that the other host has empty; none: a shared disk.
    """

    def __init__(
        self,
        *,
        cpus: tuple[int, int],
        environment: Mapping[str, str] | None = None,
        hidden: Sequence[str] = HIDDEN,
    ) -> None:
        self._cpus, self._hidden = cpus, hidden
        self._name = f"far{os.getpid() % 100_000}"
        block = f"10.{100 + os.getpid() // 250 % 100}.{os.getpid() % 250}"
        self.near, self.far = f"{block}.1", f"{block}.2"
        # A Ray of this process alone would have the other host write into its folders.
        own = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("RAY_") and name not in PRIVATE
        }
        self.environment = {
            **own,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "f" * 64,
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONPATH": str(Path(__file__).parents[1]),
            **{name: value.format(near=self.near) for name, value in (environment or {}).items()},
        }
        self._head: subprocess.Popen[bytes] | None = None
        self._host: subprocess.Popen[bytes] | None = None
        self._more: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        ip("netns", "add", self._name)
        ip("link", "add", self._name, "type", "veth", "peer", "name", "near", "netns", self._name)
        ip("address", "add", f"{self.near}/24", "dev", self._name)
        ip("link", "set", self._name, "up")
        self._there("address", "add", f"{self.far}/24", "dev", "near")
        self._there("link", "set", "near", "up")
        self._there("link", "set", "lo", "up")
        # This machine's name may mean another of its addresses.
        self._there("route", "add", "default", "via", self.near)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for node in (self._host, self._more, self._head):
            if node is not None:
                _end(node)
        ip("netns", "delete", self._name)

    def start(self) -> None:
        """Start Ray on both hosts."""
        self.port = _free_port(self.near)
        self._head = self._ray(
            *("--head", "--include-dashboard=false"),
            f"--port={self.port}",
            f"--node-ip-address={self.near}",
            cpus=self._cpus[0],
        )
        self._wait(self._head)
        self.add()

    @property
    def address(self) -> str:
        """Of the head."""
        return f"{self.near}:{self.port}"

    def add(self) -> None:
        """Start the other host, with empty folders."""
        hidden = {
            "HIDDEN": " ".join(self._hidden),
            "KEPT": "\n".join(_installed(self._hidden)),
            "FAR": self.far,
            "NEAR": self.near,
            "NAME": socket.gethostname(),
        }
        self._host = self._ray(
            f"--address={self.address}",
            f"--node-ip-address={self.far}",
            cpus=self._cpus[1],
            within=[
                *("ip", "netns", "exec", self._name),
                *("unshare", "--mount", "--pid", "--fork", "--uts", "--mount-proc"),
                *("bash", "-c", _START, "start"),
            ],
            more=hidden,
        )
        self._wait(self._host)

    def add_here(self, *, cpus: int) -> None:
        """Start one more node on this machine."""
        self._more = self._ray(f"--address={self.address}", cpus=cpus)
        self._wait(self._more)

    def raylet(self) -> int:
        """The process of the other host's raylet."""
        return next(one for one in self.processes() if "raylet/raylet" in _command(one))

    def processes(self) -> list[int]:
        """All processes of the other host."""
        assert self._host is not None
        found = subprocess.run(
            ["ip", "netns", "pids", self._name], capture_output=True, text=True, check=True
        )
        return [int(one) for one in found.stdout.split()]

    def sees(self, path: Path) -> bool:
        """Whether a path is there on the other host."""
        looked = ["nsenter", f"--mount=/proc/{self.raylet()}/ns/mnt", "test", "-e", str(path)]
        return subprocess.run(looked, check=False).returncode == 0

    def lose(self) -> None:
        """Switch the other host off."""
        assert self._host is not None
        _end(self._host)
        self._host = None

    def cut(self) -> None:
        """Pull the cable."""
        ip("link", "set", self._name, "down")

    def mend(self) -> None:
        """Plug the cable in again."""
        ip("link", "set", self._name, "up")

    def _there(self, *words: str) -> None:
        ip("-n", self._name, *words)

    def _ray(
        self,
        *options: str,
        cpus: int,
        within: list[str] | None = None,
        more: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", *options]
        command += [f"--num-cpus={cpus}", f"--object-store-memory={_MEMORY}"]
        return subprocess.Popen(
            [*(within or []), *command],
            env={**self.environment, **(more or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def _wait(self, node: subprocess.Popen[bytes]) -> None:
        """Wait until a node says that it runs."""
        assert node.stdout is not None
        said, deadline = [], time.monotonic() + _PATIENCE
        for line in node.stdout:
            said.append(line.decode())
            if "Ray runtime started" in said[-1] or time.monotonic() > deadline:
                return
        raise RuntimeError(f"a node did not start: {''.join(said)}")


def _installed(hidden: Sequence[str]) -> list[str]:
    """Folders of the interpreter and of the code that lie within hidden ones."""
    code = Path(__file__).resolve().parents[1]
    folders = dict.fromkeys([code, Path(sys.prefix).absolute(), Path(sys.base_prefix).absolute()])
    return [str(one) for one in folders if any(one.is_relative_to(it) for it in hidden)]


def ip(*words: str) -> None:
    """Have `ip` do something."""
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(words)}: {done.stderr.strip()}")


def _end(node: subprocess.Popen[bytes]) -> None:
    """Kill a node: all that its session has; of a namespace of processes, all that is in it."""
    below = _below(node.pid)
    for process in (*below, node.pid):
        try:
            os.kill(process, signal.SIGKILL)
        except ProcessLookupError:
            continue
    node.wait()
    if node.stdout is not None:
        node.stdout.close()


def _below(process: int) -> list[int]:
    """A process's children, and theirs."""
    children: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*/children"):
        try:
            children += map(int, task.read_text().split())
        except OSError:
            continue
    return [one for child in children for one in (*_below(child), child)]


def _command(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode()
    except OSError:
        return ""


def _free_port(host: str) -> int:
    with socket.socket() as one:
        one.bind((host, 0))
        return int(one.getsockname()[1])
