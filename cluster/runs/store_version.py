"""Which version of a store a model is used with, when the store has grown.

`predict` starts from the controls of the version that the model was made from, and `evaluate`
judges by its cells. So the same command gives the same result before and after an append.
"""

import logging
from collections.abc import Sequence

from data_store.store.reader import Store

log = logging.getLogger(__name__)


def open_version(
    path: str,
    *,
    trained_on: str | None,
    begun_on: str | None = None,
    contexts: Sequence[str] | None = None,
    what: str = "controls",
) -> Store:
    """The version that the model was made from, or that work was begun on, or the newest.

    Logs which version it is, unless there is only one.

    Args:
        path: Of the store.
        trained_on: Fingerprint that the model's card names; None where it names none.
        begun_on: Fingerprint that an unfinished or finished result names.
        contexts: Contexts that must have controls; an older version without one is passed over.
        what: What is taken from it, to say so.

    Raises:
        FileNotFoundError, ValueError: No whole store.
    """
    newest = Store.open(path)
    wanted = [one for one in (trained_on, begun_on) if one is not None]
    for fingerprint in wanted:
        store = _version(newest, path, fingerprint=fingerprint)
        if store is not None and set(contexts or ()) <= store.controls.keys():
            break
    else:
        store = newest
    if store is not newest:
        newest.close()
    if wanted and (store is not newest or store.fingerprint != trained_on):
        which = _told(store, path, newest=newest.fingerprint, trained_on=trained_on)
        log.info(f"{what} of {which}")
    return store


def _version(newest: Store, path: str, *, fingerprint: str) -> Store | None:
    if newest.fingerprint == fingerprint:
        return newest
    try:
        return Store.open(path, fingerprint=fingerprint)
    except ValueError:  # it is another store, or its older versions were not kept
        return None


def _told(store: Store, path: str, *, newest: str, trained_on: str | None) -> str:
    which = f"version {store.fingerprint[:12]} of {path}"
    if store.fingerprint == trained_on:
        return f"{which}, which the model was made from; the newest is {newest[:12]}"
    return f"{which}; the model was made from {str(trained_on)[:12]}"
