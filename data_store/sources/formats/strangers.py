"""What a file is that is not of cells, told by its first bytes, and what to do with it."""

import gzip
import zlib
from pathlib import Path
from typing import NamedTuple

_HEAD = 4_096  # bytes


class _Kind(NamedTuple):
    """A kind of file."""

    begins: tuple[bytes, ...]
    what: str  # and what to do


_DOWNLOAD = "download the file itself again"
_FROM_R = "export it in R, for example with zellkonverter::writeH5AD, and name that file"
_KINDS = (
    _Kind((b"<!doctype html", b"<html"), f"a web page (HTML), not the file; {_DOWNLOAD}"),
    _Kind((b"<?xml", b"<error"), f"an answer of a server (XML), not the file; {_DOWNLOAD}"),
    _Kind(
        (b"version https://git-lfs",),
        "a pointer of Git LFS, not the file; fetch it with git lfs pull",
    ),
    _Kind((b"pk\x03\x04",), "a .zip archive; unpack it and name the file inside"),
    _Kind(
        (b"bzh", b"\xfd7zxz\x00", b"\x28\xb5\x2f\xfd"), "compressed; unpack it and name the file"
    ),
    _Kind((b"rdx", b"rda", b"x\n\x00\x00", b"a\n"), f"a file of R; {_FROM_R}"),
    _Kind((b"par1",), "a Parquet table; give it with --cells, beside the file of the counts"),
    _Kind((b"\x93numpy",), "an array of numpy; write it with its genes and cells as .h5ad"),
    _Kind((b"\x80\x04", b"\x80\x05", b"\x80\x03"), "a Python pickle; write it as .h5ad"),
    _Kind((b"%%matrixmarket",), "a matrix in Matrix Market format; call it matrix.mtx"),
)
_TABLE = (
    "text; a table of cells is given with --cells, beside the file of the counts, and a table of "
    "counts is read with anndata.read_csv and written as .h5ad"
)


def what_is(path: Path) -> str:
    """What a file is that no format knows, and what to do, as a clause."""
    with path.open("rb") as file:
        start = file.read(_HEAD)
    if not start:
        return "empty; check or download it again"
    if start.startswith(b"\x1f\x8b"):
        inside = _unpacked(path)
        if inside is None:
            return "a damaged gzip file; copy or download it again"
        if inside[257:262] == b"ustar":
            return "a .tar.gz archive; unpack it and name the file or folder inside"
        return f"a gzip file; inside it is {_of(inside)}"
    if start[257:262] == b"ustar":
        return "a .tar archive; unpack it and name the file or folder inside"
    return _of(start)


def _of(start: bytes) -> str:
    lower = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower() or start.lower()
    for kind in _KINDS:
        if lower.startswith(kind.begins):
            return kind.what
    return _TABLE if _is_text(start) else "none of these; check it or download it again"


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if error.start < len(start) - 4:  # not just a letter that is cut
            return False
        text = start[: error.start].decode()
    return all(letter.isprintable() or letter in "\t\r\n" for letter in text)


def _unpacked(path: Path) -> bytes | None:
    """The first bytes inside a gzip file; None if it is damaged."""
    try:
        with gzip.open(path) as file:
            return file.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        return None
