"""What is asked of a machine, on that machine: in this process, or in an actor on each node."""

import socket
import time
from collections.abc import Sequence
from pathlib import Path

import ray

from cluster.nodes.facts import NodeFacts, facts_of_this_machine
from cluster.nodes.storage import Nonce
from data_store.store.reader import Store

_REACH = 5.0  # seconds until another node must accept


class Probe:
    """Looks at one machine."""

    def __init__(self) -> None:
        self._door: socket.socket | None = None

    def facts(self, *, gpus: bool) -> NodeFacts:
        """What the machine has."""
        return facts_of_this_machine(gpus=gpus)

    def clock(self) -> float:
        """Seconds since 1970."""
        return time.time()

    def sees(self, folders: Sequence[Nonce], *, node: str) -> list[str | None]:
        """The fault of each folder as it is seen from here; None: it is the driver's, writable."""
        return [folder.seen(node) for folder in folders]

    def missing(self, paths: Sequence[Path]) -> list[Path]:
        """Which of these files and folders are not here."""
        return [path for path in paths if not path.exists()]

    def store(self, address: str, *, fingerprint: str | None) -> str | None:
        """Why a store cannot be read here; None: it can, and it is the one that is meant."""
        try:
            with Store.open(address, fingerprint=fingerprint):
                return None
        except (OSError, ValueError, ImportError) as error:
            return " ".join(str(error).split()) or type(error).__name__

    def listens(self) -> tuple[str, int]:
        """Open a port as a worker does to meet others; its address."""
        ip: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
        self._door = socket.create_server((ip, 0))
        return ip, int(self._door.getsockname()[1])

    def unreached(self, others: Sequence[tuple[str, int]]) -> list[str]:
        """Addresses of other machines that cannot be reached from here, and why."""
        failed = []
        for ip, port in others:
            try:
                socket.create_connection((ip, port), timeout=_REACH).close()
            except OSError as error:
                failed.append(f"{ip} ({error.strerror or error})")
        return failed
