"""Where the processes of a family listen."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

_LISTENS = "0A"  # state of a socket in /proc/net/tcp
_LOOPBACK = {
    "0100007F",
    "0000000000000000FFFF00000100007F",
    "00000000000000000000000001000000",
}


def listening(family: Iterable[int]) -> tuple[int, set[str]]:
    """How many servers some processes have, and the addresses that are not loopback, in hex."""
    ours = {inode for process in family for inode in _sockets(process)}
    rows = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    hosts = [row[1].split(":")[0] for row in rows if row[3] == _LISTENS and row[9] in ours]
    return len(hosts), set(hosts) - _LOOPBACK


def _sockets(process: int) -> Iterator[str]:
    """Inodes of a process's sockets."""
    try:
        links = list(Path(f"/proc/{process}/fd").iterdir())
    except OSError:  # it has ended
        return
    for link in links:
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]
