"""A prediction in a few lines: what it holds, and what it was made from."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from scdfm.screen.conditions import name
from scdfm.screen.names import SOME, listed

if TYPE_CHECKING:
    from cluster.predict.identity import Provenance

HASH = 12  # characters that are shown


def lines_of(facts: Mapping[str, object], told: "Provenance") -> dict[str, str]:
    """Lines by name; JSON has all that is known.

    Args:
        facts: What `describe` found of it.
        told: Where it comes from.
    """
    made, origin = told.identity, told.origin
    run = "" if origin.run is None else f", run {origin.run}"
    step = "" if origin.step is None else f", step {origin.step}"
    lines = {
        "prediction": str(facts["path"]),
        "cells": f"{facts['cells']:,}" + (", controls among them" if made.controls else ""),
        "genes": f"{facts['genes']:,}",
        "conditions": f"{len(made.conditions):,} of {made.cells:,} cells: "
        f"{listed(map(name, made.conditions), most=SOME)}",
        "contexts": listed(made.contexts, most=SOME),
        "never trained": ", ".join(told.unseen),
        "model": f"{origin.model}{run}{step} ({made.model[:HASH]})",
        "store": f"{origin.store} ({made.store[:HASH]})",
        "mean": told.mean,
        "seed": str(made.seed),
        "interval": f"{made.interval:.0%}",
        "computed": f"{made.precision} on {'CPU' if made.device == 'cpu' else 'GPU'}, "
        + ", ".join(f"{package} {version}" for package, version in made.versions.items()),
    }
    return {title: line for title, line in lines.items() if line}
