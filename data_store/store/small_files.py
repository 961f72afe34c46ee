"""The small files of a store: what its rows, columns and codes stand for.

Chunks of cells carry checksums of their own (`data_store.disk.chunks`). A flipped bit in a gene's
name, in the table of units or in an array's metadata would go unnoticed, so these files are
compared with the manifest's hashes before they are used.
"""

import hashlib
from collections.abc import Iterable
from fnmatch import fnmatchcase

from data_store.disk.files import Files
from data_store.store.schema import CELLS, CONDITIONS, Manifest, ShardRecord

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
                f"got {'no file' if raw is None else 'changed ones'}; run scdfm verify, "
                "then ingest again or restore the file"
            )
