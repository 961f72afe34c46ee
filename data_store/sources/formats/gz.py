"""Files compressed by gzip as a whole, as GEO gives them: sample.h5ad.gz, matrix.h5.gz.

HDF5 is read at many places of a file, which gzip does not allow. So it is unpacked, block by block,
beside the store, and gone when the source is closed.
"""

import errno
import gzip
import logging
import os
import shutil
import zlib
from dataclasses import replace
from pathlib import Path

from data_store.disk.damage import DamagedError
from data_store.disk.room import room_for
from data_store.publish.leftovers import scratch
from data_store.sources.formats.format import Format, Reading
from data_store.sources.source import Source
from scdfm.screen.progress import phase

log = logging.getLogger(__name__)

_MARK = b"\x1f\x8b"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_BLOCK = 1 << 22  # bytes


def _is_packed(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        if file.read(len(_MARK)) != _MARK:
            return False
    try:
        with gzip.open(path) as content:
            return content.read(len(_HDF5)) == _HDF5
    except (OSError, EOFError, zlib.error):
        return False


def _open(path: Path, reading: Reading) -> Source:
    from data_store.sources.formats.known import open_source  # which knows this format

    with (reading.scratch or scratch)() as folder:
        target = folder / path.name.removesuffix(".gz")
        phase(log, f"unpacking {path.name}")
        _unpack(path, target)
        # Its name goes with the folder, its bytes when it is closed, whatever ends this process.
        return replace(open_source(target, reading=reading), path=path)


GZ = Format(
    title="an .h5ad.gz (or .h5.gz, .h5mu.gz, .loom.gz) file",
    endings=(".h5ad.gz", ".h5.gz", ".h5mu.gz", ".loom.gz"),
    holds=_is_packed,
    open=_open,
)


def _unpack(path: Path, target: Path) -> None:
    """Write the content of a gzip file.

    Raises:
        DamagedError: It is truncated or damaged.
        OSError: There is no room.
    """
    _require_room(path, target)
    try:
        with (
            room_for(target, remedy="name a store on another disk"),
            gzip.open(path) as content,
            target.open("wb") as out,
        ):
            shutil.copyfileobj(content, out, _BLOCK)
    except EOFError:
        raise DamagedError("it ends too early, so it is truncated") from None
    except (zlib.error, gzip.BadGzipFile):
        raise DamagedError("its bytes are damaged") from None


def _require_room(path: Path, target: Path) -> None:
    """Refuse at once what does not fit, as far as the file tells its size.

    Its last four bytes are its unpacked size, modulo 4 GB.
    """
    with path.open("rb") as file:
        file.seek(-4, os.SEEK_END)
        least = int.from_bytes(file.read(4), "little")
    while least < path.stat().st_size // 2:  # what is incompressible grows a little
        least += 1 << 32
    free = shutil.disk_usage(target.parent).free
    if least > free:
        raise OSError(
            errno.ENOSPC,
            f"expected room for {path.name} unpacked, at least {least} bytes, found {free} in "
            f"{target.parent.parent}; free some space or name a store on another disk",
        )
