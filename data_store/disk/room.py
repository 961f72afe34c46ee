"""A full disk is one line that names the path, whichever library noticed it."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# zarrs and HDF5 tell the number only in their text.
_TOLD = re.compile(r"(?:os error|errno =|\[errno) (\d+)", re.IGNORECASE)


class FullError(OSError):
    """There is no room.

    Its number goes with it to other processes: who started them need not try again.
    """

    def __init__(self, line: str, number: int) -> None:
        super().__init__(line)
        self.errno = number

    def __reduce__(self) -> tuple[type["FullError"], tuple[str, int | None]]:
        return type(self), (str(self), self.errno)


@contextmanager
def room_for(path: Path, *, remedy: str = "name a place on another disk") -> Iterator[None]:
    """Turn the complaint of any library about a full disk into one line.

    Raises:
        FullError: There is no room; names the path and what to do.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        number = _number(error)
        if number not in _NO_ROOM:
            raise
        raise FullError(
            f"expected room for {path}, got a full disk or a limit that is reached "
            f"({os.strerror(number)}); free some space or {remedy} (nothing was left behind)",
            number,
        ) from None


def _number(error: OSError | RuntimeError) -> int | None:
    number = getattr(error, "errno", None)
    told = _TOLD.search(str(error))
    return int(told[1]) if number is None and told else number
