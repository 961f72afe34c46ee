"""Runs, sweeps and models at an address, fetched into a folder of this process to be read."""

import json
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from cluster.storage.mirror import mirror_of
from cluster.storage.places import folder_of
from cluster.storage.storage import Found, storage_at
from cluster.storage.wanted import Wanted, but_states
from data_store.store.schema import MANIFEST
from scdfm.flow.files import CARD
from scdfm.screen.address import url_of

Choice = Callable[[Collection[str]], Wanted]
"""Which files are wanted, by the names of all that are there."""

_READ_ONLY = ("http://", "https://")  # stores of cells may be there, but nothing that we write


def fetched(place: Path | str) -> Path:
    """A folder with what is at a path or an address: a run, a sweep, a model, or a part of one.

    Raises:
        FileNotFoundError: Nothing of ours is at the address.
        ValueError: It cannot be reached, or is damaged.
    """
    address = url_of(place)
    if address is None:
        return Path(place)
    found = looked_up(address)
    if found is None:
        raise FileNotFoundError(
            f"expected a run, a sweep or a model at {address}, found none there; name one that is"
        )
    return found


def looked_up(address: str, *, choose: Choice | None = None) -> Path | None:
    """The same; None where nothing of ours is.

    Args:
        address: Of a run, a sweep, a model, or a part of one.
        choose: Which files are wanted of what is there itself; none, or of a part: all but states.
    """
    if address.startswith(_READ_ONLY):
        return None
    for root in above(address):
        mirror = mirror_of(root)
        wanted = but_states if choose is None or root != address else choose(mirror.names())
        if mirror.writes or mirror.fetch(wanted):
            return folder_of(address)
    return _plain(address)


def above(address: str) -> list[str]:
    """The address and all above it, down to the bucket."""
    scheme, _, rest = address.partition("://")
    parts = rest.split("/")
    return [f"{scheme}://{'/'.join(parts[:count])}" for count in range(len(parts), 0, -1)]


def _plain(address: str) -> Path | None:
    """A prediction, or a model that was copied there file by file."""
    storage = storage_at(address)
    folder = folder_of(address)
    if address.endswith(".h5ad"):
        place, _, name = address.rpartition("/")
        folder.parent.mkdir(parents=True, exist_ok=True)
        return folder if storage_at(place).fetch(name, folder) else None
    if storage.read(CARD) is None and not _is_prediction(storage.read(MANIFEST)):
        return None
    for name in storage.names():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        storage.fetch(name, folder / name)
    return folder


def _is_prediction(manifest: Found | None) -> bool:
    """Whether a manifest is a prediction's; that of a store of cells has no kind."""
    with suppress(ValueError, AttributeError):
        return manifest is not None and json.loads(manifest.content).get("kind") == "prediction"
    return False
