"""Write files and directories so that a reader sees the new one complete, or the old one.

A draft is filled next to its place, forced to the disk and renamed. A killed process leaves at most
a draft, with a hidden name that ends in .tmp or .old; `discard_drafts` removes it.
"""

import errno
import hashlib
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_CLOSED = {  # why no file can be made in a folder
    errno.EROFS: "its disk is read-only",
    errno.EACCES: "it is not yours",
    errno.EPERM: "it may not be changed",
    errno.ENOENT: "it takes no files",
}


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Fill a draft of a file, then put it in place of `path`; on an error nothing is left of it.

    Raises:
        FileNotFoundError: The directory does not exist, or the block wrote no draft.
    """
    draft = _draft(path)
    try:
        yield draft
        force(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    force(path.parent)


@contextmanager
def replaced_directory(path: Path) -> Iterator[Path]:
    """Fill a draft of a directory, then put it in place of `path`; on an error nothing is left.

    Directories above it are made where they are missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft, old = _draft(path), path.with_name(f".{path.name}.{os.getpid()}.old")
    for leftover in (draft, old):
        shutil.rmtree(leftover, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
        for inner in [*draft.rglob("*"), draft]:
            force(inner)
        if path.exists():
            path.rename(old)
        draft.rename(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    force(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Replace a text file, completely or not at all."""
    with replaced(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Replace a file by plain values as JSON; a number that is not finite becomes null."""
    write_text(path, json.dumps(jsonable(value), indent=1))


def jsonable(value: Any) -> Any:
    """A value with null where a number is not finite, since JSON has no NaN."""
    if isinstance(value, Mapping):
        return {name: jsonable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sha256(path: Path) -> str:
    """The hash of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def force(path: Path) -> None:
    """Wait until the disk has a file's bytes, or a directory's names."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def discard_drafts(folder: Path) -> None:
    """Remove the drafts that killed processes left in a folder; only its one writer may ask."""
    for leftover in [*folder.glob(".*.tmp"), *folder.glob(".*.old")]:
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Refuse a folder in which no file can be made, before work is done; leaves nothing there.

    Raises:
        PermissionError: Its disk or its rights do not allow it.
    """
    try:
        # Asking for rights is not enough: root has all, also where a disk is read-only.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        if error.errno in _CLOSED:
            raise PermissionError(
                f"cannot write to {folder}: {_CLOSED[error.errno]}; name another folder"
            ) from None
        # Others, as a full disk, are told when the file is written: there may be room by then.


def without_draft(path: str) -> str:
    """What a path is a draft of, for a message; others as they are."""
    return re.sub(r"(^|/)\.([^/]+)\.\d+\.(?:tmp|old)(?=/|$)", r"\1\2", path)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")
