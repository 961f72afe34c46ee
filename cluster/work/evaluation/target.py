"""What is judged: the store with a model's cells, or what our prediction was made from."""

from pathlib import Path
from typing import NamedTuple

from cluster.runs.directory import RunDirectory
from cluster.runs.find_model import RUN, found_model
from cluster.runs.store_version import open_version
from cluster.storage.reading import fetched
from data_store.prediction import read_facts
from data_store.store.reader import Store
from scdfm.flow.checkpoint import Model
from scdfm.flow.files import SPLIT
from scdfm.screen.names import nearest


def store_of(model: Model, path: Path, *, given: str | None) -> Store:
    """The store given, or the model's own; in both the model's version, if it is there."""
    if given is None:
        return _own_store(model, path)
    return open_version(given, trained_on=model.card.provenance.fingerprint, what="cells")


def _own_store(model: Model, path: Path) -> Store:
    """The store that a model was trained on, in the version that it was trained on.

    After a store has moved, a continued run knows the new place, but its model the old one.
    """
    written = model.card.provenance.store
    if written is None:
        raise ValueError(
            f"{path} does not say on which store it was trained; name one with --store"
        )
    run = RunDirectory(path.parent)
    places = [written, run.settings.store] if (path.parent / RUN).is_file() else [written]
    for place in dict.fromkeys(places):
        try:
            # A store that grew since then still holds the cells that the model was trained on.
            return Store.open(place, fingerprint=model.card.provenance.fingerprint)
        except FileNotFoundError:
            continue
    raise FileNotFoundError(
        f"expected the store that {path} was trained on at {written}, found nothing there; name "
        "where it is now with --store"
    )


def require_same_cells(model: Model, store: Store, *, given: bool) -> None:
    """Refuse a store that lacks what the model was trained on, or that changed unasked."""
    where = store.path
    trained_on = model.card.provenance.fingerprint
    known = set(model.split.train) | set(model.split.validation)
    if trained_on != store.fingerprint and not known <= store.conditions.keys():
        missing = sorted(known - store.conditions.keys())
        raise ValueError(
            f"{where} lacks {len(missing)} of the conditions the model was trained on, first "
            f"{missing[0]!r} ({nearest(missing[0], list(store.conditions))}); "
            "baselines need them: use the store of the run"
        )
    if trained_on != store.fingerprint and not given:
        raise ValueError(
            f"{where} changed since the model was trained: its fingerprint was "
            f"{str(trained_on)[:12]} and is {store.fingerprint[:12]}; name a store with --store "
            "to evaluate on other cells"
        )


class PredictionOrigin(NamedTuple):
    """What one of our predictions was made from."""

    store: str
    split: Path  # of its model


def prediction_origin(target: Path) -> PredictionOrigin | None:
    """What a prediction of ours was made from; None for anything else."""
    facts = read_facts(target) if target.suffix in (".h5ad", ".zarr") else None
    origin = None if facts is None else facts.get("origin")
    if not isinstance(origin, dict):
        return None
    named = fetched(str(origin["model"]))
    return PredictionOrigin(str(origin["store"]), (found_model(named) or named) / SPLIT)
