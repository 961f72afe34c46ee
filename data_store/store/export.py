"""A store back to AnnData: the source's values and obs, exactly."""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import write_elem

from data_store.disk.h5ad import append_frames, append_rows
from data_store.disk.new_file import committed_file
from data_store.store.reader import Store, Unit
from data_store.store.schema import LIBRARY_SIZE

_EXACT = 2**24  # integers below are exact in float32
_ROWS = 8_192  # cells at once


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
    # Concatenation keeps a categorical only where all parts have the same categories: they do.
    obs = pd.concat([_obs(store, unit.start, unit.stop) for unit in units])
    result = anndata.AnnData(
        X=matrix.astype(np.float32 if exact else np.float64), obs=obs, var=store.var
    )
    result.uns["scdfm"] = _facts(store)
    return result


def export(
    store: Path | str,
    out: Path,
    *,
    conditions: Collection[str] | None = None,
    overwrite: bool = False,
) -> None:
    """Write cells of a store to an .h5ad file, some thousand cells at a time.

    Values, obs and var are those of the source. Cells stand in the store's order: by context and
    condition, shuffled within.

    Raises:
        ValueError: Not an .h5ad name, or a condition that the store does not hold.
        FileExistsError: `out` exists.
    """
    if out.suffix != ".h5ad":
        raise ValueError(f"expected a name that ends in .h5ad, got {out}; name such a file")
    with Store.open(store) as opened, committed_file(out, overwrite=overwrite) as partial:
        units = _units(opened, conditions)
        with (
            h5py.File(partial, "w") as file,
            anndata.settings.override(allow_write_nullable_strings=True),
        ):
            _write(opened, units, file)


def _write(store: Store, units: Sequence[Unit], file: h5py.File) -> None:
    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    for name in ("layers", "obsm", "obsp", "varm", "varp"):
        write_elem(file, name, {})
    write_elem(file, "var", store.var)
    write_elem(file, "uns", {"scdfm": _facts(store)})
    append_frames(file, "obs", (_obs(store, *block) for block in _blocks(units)))
    exact = store.manifest.normalised or _largest(store, units) < _EXACT
    kind = np.float32 if exact else np.float64
    append_rows(
        file,
        "X",
        (store.counts(*block).astype(kind) for block in _blocks(units)),
        nonzero=sum(unit.nonzero for unit in units),
    )


def _largest(store: Store, units: Sequence[Unit]) -> float:
    """The largest count; read only where it may be too large for float32."""
    if store.counts(0, 1).dtype.itemsize <= 2:
        return 2.0**16
    return max(float(store.counts(*block).data.max(initial=0)) for block in _blocks(units))


def _blocks(units: Sequence[Unit]) -> Iterator[tuple[int, int]]:
    """Runs of rows of bounded length; units that follow each other are one run."""
    begin = end = units[0].start
    for unit in (*units, None):
        if unit is None or unit.start != end:
            for start in range(begin, end, _ROWS):
                yield start, min(start + _ROWS, end)
            begin = unit.start if unit else end
        end = unit.stop if unit else end


def _obs(store: Store, start: int, stop: int) -> pd.DataFrame:
    """What the source said about these cells, under its own names."""
    table = store.obs(start, stop).drop(columns=LIBRARY_SIZE)
    return table.rename(columns=store.manifest.recipe.renamed)


def _facts(store: Store) -> dict[str, str]:
    return {"store": store.fingerprint, "perturbation": store.perturbation}


def _units(store: Store, conditions: Collection[str] | None) -> list[Unit]:
    if conditions is None:
        return list(store.units)
    wanted = {store.words.name(name): name for name in conditions}
    found = [unit for unit in store.units if unit.condition in wanted]
    missing = [name for key, name in wanted.items() if key not in {u.condition for u in found}]
    if missing or not found:
        raise ValueError(
            f"expected conditions of the store {store.path}, it holds no "
            f"{', '.join(map(repr, missing)) or 'conditions asked for'}; see scdfm inspect"
        )
    return found
