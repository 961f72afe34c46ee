"""A headless Chromium that is told what to do over a pipe, by the DevTools protocol."""

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


FAULTS = ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")
"""Events of a page that says something on its console, or fails."""


def installed() -> str | None:
    """Where Chromium is; None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a browser.

    Attributes:
        events: What the browser told since the page was opened: (method, parameters).
    """

    def __init__(self, *, to: int, back: int, patience: float) -> None:
        self._to, self._back, self._patience = to, back, patience
        self._left = b""
        self._last = 0
        self._session: str | None = None
        self.events: list[tuple[str, dict[str, Any]]] = []

    def open(self, page: Path, *, width: int, height: int, dark: bool = False) -> Self:
        """Open a file, and wait until it is loaded."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        self.ask("Page.navigate", url=page.resolve().as_uri())
        while not any(method == "Page.loadEventFired" for method, _ in self.events):
            self._hear(self._read())
        return self

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and wait for its result."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._last:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._hear(answer)

    def value(self, expression: str) -> Any:
        """What an expression of the page's script gives."""
        result = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def _hear(self, message: dict[str, Any]) -> None:
        self.events.append((message["method"], message["params"]))

    def _read(self) -> dict[str, Any]:
        until = time.monotonic() + self._patience
        while b"\0" not in self._left:
            assert time.monotonic() < until, "chromium does not answer"
            try:
                got = os.read(self._back, 1 << 16)
            except BlockingIOError:
                time.sleep(0.005)
                continue
            assert got, "chromium has ended"
            self._left += got
        message, self._left = self._left.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextmanager
def browser(program: str, *, patience: float = 60) -> Iterator[Browser]:
    """Start Chromium; it and all its processes are gone after the block.

    Args:
        program: Where it is.
        patience: Seconds to wait for an answer.
    """
    told, to = os.pipe()
    back, says = os.pipe()
    home = tempfile.mkdtemp(prefix="chromium-")

    # Chromium reads commands from 3 and answers on 4. A shell puts them there, since what runs
    # between fork and exec of a process with threads may hang.
    command = f'exec "$0" "$@" 3<&{told} 4>&{says}'
    options = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--hide-scrollbars",
        f"--user-data-dir={home}",
        "--remote-debugging-pipe",
        "about:blank",
    ]
    process = subprocess.Popen(
        ["bash", "-c", command, program, *options],
        pass_fds=(told, says),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(told)
    os.close(says)
    os.set_blocking(back, False)
    try:
        yield Browser(to=to, back=back, patience=patience)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=30)
        os.close(to)
        os.close(back)
        shutil.rmtree(home, ignore_errors=True)
