"""What lives at an address has a folder in which this process works on it; which, and back."""

import functools
from atexit import register
from contextlib import ExitStack
from pathlib import Path

from scdfm.screen.address import MIRROR, url_of, with_addresses


def folder_of(address: str) -> Path:
    """The folder in which this process works on what lives at an address."""
    scheme, _, rest = address.partition("://")
    return _root() / scheme / rest.strip("/")


def local(place: Path) -> Path:
    """The folder in which this process works on what is at a path or an address."""
    address = url_of(place)
    return place if address is None else folder_of(address)


def address_of(path: Path | str) -> str | None:
    """The address of a folder, also of another process, that mirrors one; None of others."""
    text = with_addresses(str(path))
    return text if text != str(path) else None


def named(path: Path | str) -> str:
    """How to call a place: the address of what lives elsewhere, or the path."""
    return address_of(path) or url_of(path) or str(path)


@functools.cache
def _root() -> Path:
    """A folder of this process, which is removed when it ends."""
    from data_store.publish.leftovers import scratch

    stack = ExitStack()
    register(stack.close)
    return stack.enter_context(scratch()) / MIRROR
