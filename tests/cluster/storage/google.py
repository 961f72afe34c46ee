"""Google Cloud Storage on loopback, as far as files need it: objects have generations."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit


class Object(NamedTuple):
    """An object as it is now."""

    content: bytes
    generation: str


class _Handler(BaseHTTPRequestHandler):
    objects: dict[str, Object]
    generations: Iterator[int]

    def do_GET(self) -> None:
        path, asked = self._asked()
        name = path.partition("/o/")[2]
        if not name and path.endswith("/o"):
            found = [key for key in sorted(self.objects) if key.startswith(asked.get("prefix", ""))]
            self._json({"items": [self._facts(key) for key in found]})
        elif name not in self.objects:
            self._json({}, status=404)
        elif asked.get("alt") == "media" or "/download/" in path:
            self._send(self.objects[name].content, generation=self.objects[name].generation)
        else:
            self._json(self._facts(name))

    def do_POST(self) -> None:
        _, asked = self._asked()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = asked.get("name", "")
        if asked["uploadType"] == "multipart":
            _, first, second, _ = body.split(b"--==0==")
            name = json.loads(first.split(b"\n\n", 1)[1])["name"]
            body = second.split(b"\n\n", 1)[1].removesuffix(b"\n")
        known = self.objects[name].generation if name in self.objects else "0"
        if asked.get("ifGenerationMatch", known) != known:
            self._json({}, status=412)
            return
        self.objects[name] = Object(body, str(next(self.generations)))
        self._json(self._facts(name))

    def do_DELETE(self) -> None:
        path, _ = self._asked()
        there = self.objects.pop(path.partition("/o/")[2], None)
        self._json({}, status=404 if there is None else 200)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _asked(self) -> tuple[str, dict[str, str]]:
        url = urlsplit(self.path)
        return unquote(url.path), {name: one[0] for name, one in parse_qs(url.query).items()}

    def _facts(self, name: str) -> dict[str, Any]:
        size = str(len(self.objects[name].content))
        return {"name": name, "size": size, "generation": self.objects[name].generation}

    def _json(self, facts: dict[str, Any], *, status: int = 200) -> None:
        self._send(json.dumps(facts).encode(), status=status)

    def _send(self, content: bytes, *, status: int = 200, generation: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Goog-Generation", generation)
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def google() -> Iterator[str]:
    """The address of a server with no object."""
    made = {"objects": {}, "generations": count(1)}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), made))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
