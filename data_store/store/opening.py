"""The files of a store, of its newest version or an older one, checked before they are read."""

from pathlib import Path

from data_store.disk.files import Files, LocalFiles
from data_store.store.hashes import check_small_files
from data_store.store.remote import manifest_of, open_files
from data_store.store.schema import Manifest
from data_store.store.versions import folder_of, unknown_version


def opened(path: Path | str, *, fingerprint: str | None) -> tuple[Files, Manifest]:
    """Open a version of a store; None: the newest.

    Its small files are checked and, of one on this machine, every file's size.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is not a store, is incomplete, has another schema, or does not hold that
            version; names the file.
    """
    files = open_files(path)
    manifest = manifest_of(files)
    if fingerprint is not None and manifest.fingerprint != fingerprint:
        files, manifest = _older(files, manifest, fingerprint=fingerprint)
    if isinstance(files, LocalFiles):
        _check_sizes(files, manifest)
    check_small_files(files, manifest)
    return files, manifest


def _older(files: Files, newest: Manifest, *, fingerprint: str) -> tuple[Files, Manifest]:
    """An older version of a store."""
    store = files.where
    files.close()
    older = open_files(f"{store}/{folder_of(fingerprint)}")
    try:
        manifest = manifest_of(older)
    except (FileNotFoundError, ValueError):
        raise unknown_version(store, wanted=fingerprint, newest=newest.fingerprint) from None
    if manifest.fingerprint != fingerprint:
        raise unknown_version(store, wanted=fingerprint, newest=newest.fingerprint)
    return older, manifest


def _check_sizes(files: LocalFiles, manifest: Manifest) -> None:
    for shard in manifest.shards:
        size = files.size(shard.path)
        if size != shard.bytes:
            raise ValueError(
                f"expected {shard.bytes} bytes in {shard.path} of the store {files.where}, got "
                f"{'no file' if size is None else size}; ingest again or restore the file"
            )
