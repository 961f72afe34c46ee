"""Predict how single cells respond to perturbations: the front door of the platform.

    import scdfm

    model = scdfm.load_model("runs/norman")
    predicted = model.predict(controls, conditions=["KLF1+MAPK1"])  # AnnData -> AnnData
    scores = scdfm.evaluate(model, store="stores/norman.zarr")

Names are loaded when they are used, so importing this takes no time. They are text here, because
`scdfm` must not import the packages that define them; `__init__.pyi` has their types.
"""

_PLACES = {
    "Store": "data_store.store.reader:Store",
    "TrainedModel": "cluster.door.model:TrainedModel",
    "RunConfig": "cluster.settings.config:RunConfig",
    "simulate": "cluster.door.cells:simulate",
    "ingest": "cluster.door.cells:ingest",
    "open_store": "cluster.door.cells:open_store",
    "control_cells": "cluster.door.cells:control_cells",
    "make_split": "cluster.door.cells:make_split",
    "train": "cluster.door.runs:train",
    "tune": "sweeps.door:tune",
    "load_model": "cluster.door.model:load_model",
    "evaluate": "cluster.door.scores:evaluate",
    "score": "cluster.door.score:score",
    "predict": "cluster.door.runs:predict",
    "intervals": "cluster.door.intervals:intervals",
    "metrics": "scdfm.metrics",
    "baselines": "scdfm.metrics.baselines",
}

__all__ = [*_PLACES, "__version__"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        found: object = version("scdfm")
    elif name in _PLACES:
        from importlib import import_module

        module, _, attribute = _PLACES[name].partition(":")
        found = import_module(module)
        found = getattr(found, attribute) if attribute else found
    else:
        raise AttributeError(
            f"module 'scdfm' has no attribute {name!r}; it has {', '.join(__all__)}"
        )
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
