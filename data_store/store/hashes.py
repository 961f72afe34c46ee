"""Files of a store, compared with the hashes that ingest wrote into the manifest.

Chunks of cells carry checksums of their own (`data_store.disk.chunks`). A flipped bit in a gene's
name, in the table of units or in an array's metadata would go unnoticed, so these small files are
compared before they are used; others when a library could not read them, to name the damaged one.
"""

import hashlib
from collections.abc import Iterable
from fnmatch import fnmatchcase

from data_store.disk.damage import reason, remedy
from data_store.disk.files import Files, LocalFiles
from data_store.store.schema import CELLS, CONDITIONS, Manifest, ShardRecord
from scdfm.screen.atomic import sha256

_ALWAYS = (CONDITIONS, "*/zarr.json", f"{CELLS}/var/*")
_CATEGORIES = (f"{CELLS}/obs/*/categories/*",)


def check_small_files(files: Files, manifest: Manifest) -> None:
    """Compare the units, the genes and all metadata with their hashes.

    Raises:
        ValueError: One is damaged or missing; names it.
    """
    _check(files, _named(manifest, _ALWAYS))


def check_categories(files: Files, manifest: Manifest) -> None:
    """Compare the texts behind the codes in obs with their hashes; there may be many.

    Raises:
        ValueError: As above.
    """
    _check(files, _named(manifest, _CATEGORIES))


def _named(manifest: Manifest, patterns: tuple[str, ...]) -> list[ShardRecord]:
    return [
        shard
        for shard in manifest.shards
        if any(fnmatchcase(shard.path, pattern) for pattern in patterns)
    ]


def _check(files: Files, shards: Iterable[ShardRecord]) -> None:
    shards = list(shards)
    # Together, so that a remote store answers once for all of them.
    for shard, raw in zip(shards, files.read_all([s.path for s in shards]), strict=True):
        if raw is None or hashlib.sha256(raw).hexdigest() != shard.sha256:
            raise ValueError(
                f"expected the bytes that ingest wrote in {shard.path} of the store {files.where}, "
                f"got {'no file' if raw is None else 'changed ones'}; {remedy(files.where)}"
            )


def changed(files: Files, shard: ShardRecord) -> str | None:
    """How a file differs from the one that ingest wrote; None if it does not."""
    try:
        size, found = _size_and_hash(files, shard.path)
    except FileNotFoundError:
        return "missing"
    if size != shard.bytes:
        return f"{size} bytes, expected {shard.bytes}"
    return None if found == shard.sha256 else "its bytes have changed since ingest"


def _size_and_hash(files: Files, name: str) -> tuple[int, str]:
    if isinstance(files, LocalFiles):
        file = files.where / name
        return file.stat().st_size, sha256(file)
    raw = files.read(name)
    return len(raw), hashlib.sha256(raw).hexdigest()


def unreadable(files: Files, manifest: Manifest, *, part: str, error: BaseException) -> str:
    """A line about a part of a store that a library could not read: which file, what to do.

    Args:
        files: Of the store.
        manifest: That ingest wrote.
        part: A file of the store, or a folder.
        error: What the library raised.
    """
    for shard in manifest.shards if isinstance(files, LocalFiles) else ():
        if shard.path == part or shard.path.startswith(f"{part}/"):
            told = changed(files, shard)
            if told is not None:
                return (
                    f"expected the file that ingest wrote in {shard.path} of the store "
                    f"{files.where}, got a damaged one ({told}); {remedy(files.where)}"
                )
    return (
        f"expected intact files in {part} of the store {files.where}, got damaged or missing ones "
        f"({reason(error)}); {remedy(files.where)}"
    )
