"""What a store holds, in numbers, for `scdfm inspect`."""

from typing import Any

import numpy as np

from data_store.reader import Store

_SAMPLE = 4_000_000  # cells whose library sizes are read, at most
_RUNS = 64


def summarise(store: Store) -> dict[str, Any]:
    """Everything `scdfm inspect --json` prints about a store: plain numbers, texts and lists."""
    manifest = store.manifest
    sizes = np.array([len(unit) for unit in store.units if not unit.is_control])
    return {
        "kind": "store",
        "path": str(store.path),
        "fingerprint": store.fingerprint,
        "schema_version": manifest.schema_version,
        "package": manifest.package,
        "cells": manifest.cells,
        "genes": manifest.genes,
        "nonzero": manifest.nonzero,
        "zeros": 1 - manifest.nonzero / max(1, manifest.cells * manifest.genes),  # share
        "bytes": sum(shard.bytes for shard in manifest.shards),
        "files": len(manifest.shards),
        "normalised": manifest.normalised,
        "perturbation": manifest.perturbation,
        "library_size": _quartiles(store),
        "conditions": len(store.conditions),
        "singles": sum(len(tokens) == 1 for tokens in store.conditions.values()),
        "doubles": sum(len(tokens) == 2 for tokens in store.conditions.values()),
        "perturbed_measured": len(_tokens(store) & set(store.genes)),
        "perturbed": len(_tokens(store)),
        "contexts": {name: _context(store, name) for name in store.contexts},
        "cells_per_condition": _spread(sizes),
        "units": [
            {
                "context": unit.context,
                "condition": unit.condition,
                "label": unit.label,
                "cells": len(unit),
            }
            for unit in store.units
        ],
        "recipe": manifest.recipe.model_dump(mode="json"),
        "sources": [source.model_dump(mode="json") for source in manifest.sources],
        "detections": list(manifest.detections),
    }


def _context(store: Store, context: str) -> dict[str, int]:
    units = [unit for unit in store.units if unit.context == context]
    return {
        "cells": sum(map(len, units)),
        "controls": len(store.controls[context]),
        "conditions": sum(not unit.is_control for unit in units),
    }


def _tokens(store: Store) -> set[str]:
    return {token for tokens in store.conditions.values() for token in tokens}


def _quartiles(store: Store) -> dict[str, float] | None:
    """Of all cells, or of evenly spaced runs of them in a large store."""
    if store.manifest.normalised:
        return None
    cells = store.manifest.cells
    runs = 1 if cells <= _SAMPLE else _RUNS
    width = min(cells, _SAMPLE) // runs
    starts = np.linspace(0, cells - width, runs).astype(int).tolist()
    sizes = np.concatenate([store.library_sizes(start, start + width) for start in starts])
    return _spread(sizes)


def _spread(values: np.ndarray[Any, np.dtype[Any]]) -> dict[str, float]:
    names = ("least", "lower_quartile", "median", "upper_quartile", "most")
    found = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
    return dict(zip(names, map(float, found), strict=True))
