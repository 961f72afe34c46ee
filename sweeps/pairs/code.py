"""Our code, as files on this machine have it now and as this process began with it.

An editable install may change while a sweep runs: a user pulls. A process that is started later
then loads other code than its driver, and what one hands to the other may not fit.
"""

import functools
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[2]
_DECIDE = ("scdfm", "data_store", "cluster")  # packages that decide a pair's values
_PACKAGES = (*_DECIDE, "sweeps")


def code_now(root: Path = ROOT) -> dict[str, str]:
    """The sha256 of every file of the packages that a trial loads, by its place.

    A file that vanishes meanwhile is not there. Hidden ones are an editor's, and no modules.
    """
    found = {}
    for file in (file for one in _PACKAGES for file in sorted((root / one).rglob("*.py"))):
        place = file.relative_to(root)
        if not any(part.startswith(".") for part in place.parts):
            with suppress(FileNotFoundError):
                found[place.as_posix()] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


@functools.cache
def code_at_start(root: Path = ROOT) -> Mapping[str, str]:
    """The same when this process asked first; a driver does before its first trial."""
    return code_now(root)


@functools.cache
def deciding_code() -> str:
    """A hash of the code that decides a pair's values, of when this process asked first."""
    digest = hashlib.sha256()
    for name, content in code_at_start().items():
        if name.startswith(tuple(f"{one}/" for one in _DECIDE)):
            digest.update(f"{name}\0{content}\0".encode())
    return digest.hexdigest()


def changed_files(now: Mapping[str, str], *, before: Mapping[str, str]) -> list[str]:
    """Places of files that differ, are new or are gone."""
    return sorted(name for name in {*now, *before} if now.get(name) != before.get(name))
