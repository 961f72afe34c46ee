"""What is wrong with a file, in our words: users are not shown what h5py, zarr or anndata say."""

import errno
import os
import re
from pathlib import Path

_NAMED = re.compile(r"object '([^']+)' doesn't exist")
_TOLD = re.compile(r"errno = (\d+)")  # HDF5 tells the number only in its text
# As pyarrow and pandas say it, and how many fields they found.
_FIELDS = (
    re.compile(r"Expected (?P<wanted>\d+) columns, got (?P<found>\d+)"),
    re.compile(r"Expected (?P<wanted>\d+) fields in line \d+, saw (?P<found>\d+)"),
)
_VALUE = re.compile(r"conversion error to double: invalid value '([^']*)'")
_EMPTY = ("Empty CSV", "No columns to parse")
_FAILED = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENXIO)


class DamagedError(OSError):
    """What is wrong with the content of a file, as a clause about it."""


def is_told(error: BaseException) -> bool:
    """Whether an error is a line of ours for the user, which all begin alike, not a library's."""
    return isinstance(error, ValueError) and str(error).startswith("expected ")


def reason(error: BaseException) -> str:
    """A clause about the file: why a library, or our own code, cannot read it."""
    if isinstance(error, DamagedError):
        return str(error)
    number = getattr(error, "errno", None)
    told = _TOLD.search(str(error))
    number = int(told[1]) if number is None and told else number
    if number in _FAILED:
        return f"the disk or the network failed: {os.strerror(number)}"
    if isinstance(error, KeyError) and (name := _missing(error)):
        return f"{name!r} is missing in it"
    if isinstance(error, AttributeError):
        return "a part of it is of another kind than its place says"
    return "some of its bytes cannot be decoded"


def remedy(store: Path | str) -> str:
    """What to do about a store with a damaged file."""
    return f"see all faults with `scdfm verify {store}`, then restore the file or ingest again"


def table_reason(error: BaseException) -> str:
    """The same about a table."""
    text = str(error)
    if told := next(filter(None, (form.search(text) for form in _FIELDS)), None):
        return f"a row has {told['found']} fields where the header has {told['wanted']}"
    if told := _VALUE.search(text):
        return f"{told[1]!r} stands where a number is expected"
    if any(empty in text for empty in _EMPTY):
        return "it is empty"
    if isinstance(error, UnicodeDecodeError) or "UTF8" in text:
        return "it is not text in UTF-8"
    return "it is damaged, or of another kind than its ending says"


def _missing(error: KeyError) -> str | None:
    """The name of what is not there; None if something else is wrong."""
    text = str(error.args[0]) if error.args else ""
    if named := _NAMED.search(text):
        return named[1]
    return text if text and " " not in text else None  # zarr gives just the name
