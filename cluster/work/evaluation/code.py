"""Which code computes: the text of our packages, and of what other distributions plug in.

A commit tells nothing of edits since, nor of code outside a repository; the text tells all.
"""

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from scdfm.method import METHODS
from scdfm.metrics import METRICS
from scdfm.metrics.baselines import BASELINES
from scdfm.model.networks import NETWORKS
from scdfm.screen.registry import Registry

COMPUTING = ("scdfm", "data_store", "cluster")  # a command's words decide no result
DECIDING: tuple[Registry[Any], ...] = (METRICS, BASELINES, METHODS, NETWORKS)


def code() -> str | None:
    """The hash of the code that decides an evaluation; None where no file has all of it."""
    return None if any(registry.added for registry in DECIDING) else _installed()


@cache
def _installed() -> str:
    """Read once, for what a process has imported does not change with the files."""
    return hash_of([*COMPUTING, *(one for registry in DECIDING for one in registry.packages)])


def hash_of(packages: Iterable[str]) -> str:
    """The sha256 of all Python files of packages or modules, by name and text."""
    told = hashlib.sha256()
    for package in sorted({*packages}):
        for name, path in _files(package):
            told.update(f"{name}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    return told.hexdigest()


def _files(package: str) -> list[tuple[str, Path]]:
    """Each file below a package with its name there; a module has one."""
    spec = find_spec(package)
    if spec is None:
        return []
    below = [Path(place) for place in spec.submodule_search_locations or ()]
    found = {
        f"{package}/{path.relative_to(place).as_posix()}": path
        for place in below
        for path in place.rglob("*.py")
    }
    if not below and spec.origin is not None and Path(spec.origin).is_file():
        found[package] = Path(spec.origin)
    return sorted(found.items())
