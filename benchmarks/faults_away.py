"""An object store that is away for some seconds: connections break, and new ones are refused."""

import os
import select
import socket
import threading
import time
from collections.abc import Iterator

import fsspec
from faults_work import ALL, UNIT, Bench, Command, Home, Row, trials

from cluster.storage.storage import storage_at

SECONDS = 10.0


class Gate:
    """Passes connections on to a server, unless it is shut.

    Args:
        port: Of the server, on this machine.
    """

    def __init__(self, port: int) -> None:
        self._to, self._open = port, threading.Event()
        self._passing: set[socket.socket] = set()
        self.port = 0
        self.open()

    def open(self) -> None:
        """Let clients in."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = int(self._listener.getsockname()[1])
        self._open.set()
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        """Break what passes, and refuse what comes."""
        self._open.clear()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in [*self._passing]:
            one.close()

    def _accept(self, listener: socket.socket) -> None:
        while self._open.is_set():
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._to)) as server:
            self._passing |= {client, server}
            try:
                while self._open.is_set():
                    ready, _, _ = select.select([client, server], [], [], 0.5)
                    for one in ready:
                        piece = one.recv(65_536)
                        if not piece:
                            return
                        (server if one is client else client).sendall(piece)
            except (OSError, ValueError):
                return
            finally:
                self._passing -= {client, server}


def away(bench: Bench) -> Iterator[Row]:
    """S3 is away for 10 s while each command works."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    gate = Gate(server.get_host_and_port()[1])
    client = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{gate.port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    os.environ.update(client)
    fsspec.filesystem("s3").mkdir("faults")
    for what in ("train", "tune", "predict"):
        bench.alone(what)
        output = f"s3://faults/{what}"
        home = bench.home(output=output)
        command = Command(home, *bench.work(what, home))
        command.wait_until(lambda what=what, home=home: _far(what, home) >= ALL[what] // 4)
        at = _far(what, home)
        gate.shut()
        time.sleep(SECONDS)
        gate.open()
        back = time.monotonic()
        command.wait_until(lambda what=what, home=home, at=at: _far(what, home) > at)
        took = time.monotonic() - back
        same = command.end() == 0 and bench.equal(what, home)
        yield Row(f"S3 away for 10 s in {what}", f"{UNIT[what]} {at}", "", took, None, same)
    server.stop()


def _far(what: str, home: Home) -> int:
    """Work that is kept in the object store."""
    time.sleep(0.3)
    if what == "predict":
        parts = storage_at(f"{home.output}/cells.h5ad.partial").names("shards")
        done = storage_at(f"{home.output}").names()
        return ALL[what] if "cells.h5ad" in done else len(parts)
    try:
        if what == "tune":
            return trials(home)
        return home.run.stored_step() or 0
    except FileNotFoundError:
        return 0
