"""What makes two run files the same run: settings that decide values, not where files are.

The places of the store, a list of edges or the first weights do not count. Their content does; it
is compared by fingerprint and hash (`cluster.runs.begin`).
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.settings.config import RunConfig
from cluster.settings.yaml_file import flat
from cluster.storage.places import address_of

# Settings that say where something is, and what is compared in their stead.
PLACES = {
    "store": "same fingerprint",
    "name": "same settings",
    "output": "same settings",
    "graph.path": "same edges",
    "init_from": "same weights",
    "split.path": "same split",
}
THREADS = "threads"  # sums are added up in another order; the steps are the same
_UNREAD = ("failure", "watch")  # when to give up, and what is shown where; no value depends on it
KEEP = "training.keep"  # checkpoints on disk


def changed(before: RunConfig, now: RunConfig) -> dict[str, tuple[Any, Any]]:
    """Settings that decide values and differ, with both values; places of files do not count."""
    old, new = (flat(run.model_dump(mode="json")) for run in (before, now))
    found = {}
    for name in sorted(old.keys() | new.keys()):
        then, today = old.get(name), new.get(name)
        is_place = name in PLACES and None not in (then, today)
        computing = name in (THREADS, KEEP) or name.partition(".")[0] in _UNREAD
        if then != today and not is_place and not computing:
            found[name] = (then, today)
    return found


def moved(before: RunConfig, now: RunConfig) -> Iterator[str]:
    """A line for each place that has changed, and for a changed number of threads."""
    old, new = (flat(run.model_dump(mode="json")) for run in (before, now))
    for name, same in PLACES.items():
        then, today = old.get(name), new.get(name)
        if then is not None and today is not None and not _one_place(then, today):
            yield f"{name}: was {then}, is now {today}; {same}"
    if before.threads != now.threads:
        yield (
            f"{THREADS}: was {before.threads or 'not set'}, is now {now.threads or 'not set'}; "
            "the last digits may differ"
        )


def _one_place(one: str, other: str) -> bool:
    """Whether two spellings mean one place: `stores/a`, `./stores/a/`, `/data/stores/a`."""
    return one == other or _spelt_out(one) == _spelt_out(other)


def _spelt_out(place: str) -> str:
    elsewhere = address_of(place)  # also as another process spells it
    if elsewhere is not None:
        return elsewhere
    return place.rstrip("/") if "://" in place else os.path.realpath(Path(place))
