"""Addresses of what is not on this machine: s3://bucket/runs, gs://, https://, memory://."""

import re
from pathlib import Path

MIRROR = "mirror"  # folder in which a process works on what lives elsewhere
_OURS = re.compile(rf"[^\s'\"()]*/scdfm-[^/\s]+\.store/{MIRROR}/([a-z][a-z0-9+.]*)/")
_URL = re.compile(r"([a-z][a-z0-9+.]+):/{1,2}(?!/)(.+)")


def url_of(path: Path | str) -> str | None:
    """The URL, or None for a path on this machine; repairs the `s3:/` that `Path` makes."""
    match = _URL.fullmatch(str(path).rstrip("/"))
    return f"{match[1]}://{match[2]}" if match else None


def with_addresses(text: str) -> str:
    """A text for a user, with the address of each place that some process mirrors in a folder."""
    return _OURS.sub(r"\1://", text)
