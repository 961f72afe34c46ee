"""A store back to AnnData: the source's values and obs, exactly."""

from collections.abc import Collection
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

from data_store.commit import committed_file
from data_store.labels import canonical, parse
from data_store.reader import Store, Unit
from data_store.schema import LIBRARY_SIZE

_EXACT = 2**24  # integers below are exact in float32


def to_adata(store: Store, *, conditions: Collection[str] | None = None) -> anndata.AnnData:
    """Cells of a store, in memory.

    Args:
        store: An open store.
        conditions: Which, in any spelling, `control` among them; None for all.

    Returns:
        Counts (or log values) in X as float32 CSR, the source's obs and var; in the store's order.

    Raises:
        ValueError: A condition that the store does not hold.
    """
    units = _units(store, conditions)
    parts = [store.counts(unit.start, unit.stop) for unit in units]
    matrix = sp.csr_matrix(sp.vstack(parts, format="csr"))
    exact = store.manifest.normalised or matrix.data.max(initial=0) < _EXACT
    obs = pd.concat([store.obs(unit.start, unit.stop) for unit in units])
    # Concatenation keeps a categorical only where all parts have the same categories: they do.
    obs = obs.drop(columns=LIBRARY_SIZE).rename(columns=store.manifest.recipe.renamed)
    result = anndata.AnnData(
        X=matrix.astype(np.float32 if exact else np.float64), obs=obs, var=store.var
    )
    result.uns["scdfm"] = {"store": store.fingerprint, "perturbation": store.perturbation}
    return result


def export(
    store: Path, out: Path, *, conditions: Collection[str] | None = None, overwrite: bool = False
) -> None:
    """Write cells of a store to an .h5ad file.

    Raises:
        ValueError: Not an .h5ad name, or a condition that the store does not hold.
        FileExistsError: `out` exists.
    """
    if out.suffix != ".h5ad":
        raise ValueError(f"expected a name that ends in .h5ad, got {out}; name such a file")
    with Store.open(store) as opened, committed_file(out, overwrite=overwrite) as partial:
        to_adata(opened, conditions=conditions).write_h5ad(partial)


def _units(store: Store, conditions: Collection[str] | None) -> list[Unit]:
    if conditions is None:
        return list(store.units)
    recipe = store.manifest.recipe
    wanted = {
        canonical(parse(name, controls=recipe.controls, separator=recipe.separator)): name
        for name in conditions
    }
    found = [unit for unit in store.units if unit.condition in wanted]
    missing = [name for key, name in wanted.items() if key not in {u.condition for u in found}]
    if missing or not found:
        raise ValueError(
            f"expected conditions of the store {store.path}, it holds no "
            f"{', '.join(map(repr, missing)) or 'conditions asked for'}; see scdfm inspect"
        )
    return found
