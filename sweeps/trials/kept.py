"""The store of a process of trials: trials of a sweep, and their splits, share it."""

import functools

from cluster.runs.stores.kept import KeptStore


@functools.cache
def kept_store() -> KeptStore:
    """One for this process."""
    return KeptStore()
