"""What a store holds, in numbers, for `scdfm inspect`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from data_store.store.reader import Store, Unit
from data_store.store.versions import versions
from scdfm.screen.census import sizes

_SAMPLE = 4_000_000  # cells whose library sizes are read, at most
_RUNS = 64
_SMALLEST = 5  # units that are named


def summarise(store: Store) -> dict[str, Any]:
    """All that `scdfm inspect --json` prints about a store: plain numbers, texts and lists."""
    manifest = store.manifest
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
        "genes_per_cell": manifest.nonzero / max(1, manifest.cells),  # seen in a cell, mean
        "bytes": sum(shard.bytes for shard in manifest.shards),
        "files": len(manifest.shards),
        "normalised": manifest.normalised,
        "perturbation": manifest.perturbation,
        "library_size": _quartiles(store),
        "conditions": len(store.conditions),
        "singles": sum(len(tokens) == 1 for tokens in store.conditions.values()),
        "doubles": sum(len(tokens) == 2 for tokens in store.conditions.values()),
        "by_tokens": sizes(store.conditions.values()),
        "perturbed_measured": len(_tokens(store) & set(store.genes)),
        "perturbed": len(_tokens(store)),
        "contexts": {name: _context(store, name) for name in store.contexts},
        "cells_per_condition": _sizes(store.units),
        "smallest": [_unit(unit) for unit in sorted(_perturbed(store), key=len)[:_SMALLEST]],
        "units": [_unit(unit) for unit in store.units],
        "recipe": manifest.recipe.model_dump(mode="json"),
        "versions": _versions(store),
        "sources": [source.model_dump(mode="json") for source in manifest.sources],
        "detections": list(manifest.detections),
    }


def _versions(store: Store) -> list[dict[str, Any]]:
    """The versions that the store holds, oldest first; behind a URL only the one that is open."""
    if not isinstance(store.path, Path):
        return []
    return [
        {
            "fingerprint": version.manifest.fingerprint,
            "cells": version.manifest.cells,
            "sources": [source.name for source in version.manifest.sources],
            "path": version.folder or ".",
        }
        for version in versions(store.path)
    ]


def _context(store: Store, context: str) -> dict[str, Any]:
    units = [unit for unit in store.units if unit.context == context]
    return {
        "cells": sum(map(len, units)),
        "controls": len(store.controls[context]),
        "conditions": sum(not unit.is_control for unit in units),
        "cells_per_condition": _sizes(units),
    }


def _unit(unit: Unit) -> dict[str, Any]:
    return {
        "context": unit.context,
        "condition": unit.condition,
        "label": unit.label,
        "cells": len(unit),
    }


def _perturbed(store: Store) -> list[Unit]:
    return [unit for unit in store.units if not unit.is_control]


def _sizes(units: Iterable[Unit]) -> dict[str, float] | None:
    """Cells of a perturbed unit; None where there is none."""
    sizes = np.array([len(unit) for unit in units if not unit.is_control])
    return _spread(sizes) if len(sizes) else None


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
