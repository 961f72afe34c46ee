"""Versions of a store: the newest at its root, each older one a complete store in `versions/`.

A fingerprint in a run or model always names the same version: appending never changes one.
"""

from pathlib import Path
from typing import NamedTuple

from data_store.store.schema import MANIFEST, Manifest, read_manifest

VERSIONS = "versions"
_DIGITS = 16  # of the fingerprint in a folder's name


class Version(NamedTuple):
    """One version of a store."""

    folder: str  # relative to the store; "" for the newest
    manifest: Manifest


def folder_of(fingerprint: str) -> str:
    """Where an older version is, relative to its store."""
    return f"{VERSIONS}/{fingerprint[:_DIGITS]}"


def versions(store: Path) -> list[Version]:
    """All versions of a store on this machine, the oldest first.

    Raises:
        FileNotFoundError, ValueError: There is no store, or a manifest is damaged.
    """
    newest = Version("", read_manifest(store))
    older = [Version(folder, read_manifest(store / folder)) for folder in older_folders(store)]
    # Every version has at least one source more than the one before.
    return [*sorted(older, key=lambda version: len(version.manifest.sources)), newest]


def older_folders(store: Path) -> list[str]:
    """Where the older versions of a store on this machine are, relative to it."""
    found = (store / VERSIONS).glob(f"*/{MANIFEST}")
    return sorted(f"{VERSIONS}/{manifest.parent.name}" for manifest in found)


def unknown_version(store: Path | str, *, wanted: str, newest: str) -> ValueError:
    """The error for a version that a store does not hold."""
    return ValueError(
        f"expected version {wanted[:12]} of the store {store}, got {newest[:12]} as its newest "
        f"and no such older one below {VERSIONS}/; restore the store that was used, or name another"
    )
