"""A store as AnnData again: the source's exact values and obs, or the partner of a prediction.

Cells are in the store's order: by context and condition, shuffled within.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import write_elem
from numpy.typing import NDArray

from data_store.disk.h5ad import append_frames, append_rows
from data_store.disk.new_file import committed_file
from data_store.store.partner import Partner
from data_store.store.reader import Store
from data_store.store.schema import COUNTS, LIBRARY_SIZE, LOG
from data_store.store.units import Unit
from scdfm.screen.names import nearest
from scdfm.screen.progress import OnProgress, counted

_EXACT = 2**24  # integers below are exact in float32
_ROWS = 8_192  # cells at once
_VALUES = 2**24  # dense values at once


class View(Protocol):
    """What a file says about the cells of a store."""

    scale: str  # of the values
    var: pd.DataFrame

    def obs(self, rows: NDArray[np.int64]) -> pd.DataFrame:
        """What is known of each cell."""
        ...

    def values(self, rows: NDArray[np.int64]) -> sp.csr_matrix:
        """Values of the cells, (cells, genes)."""
        ...


def to_adata(store: Store, *, conditions: Collection[str] | None = None) -> anndata.AnnData:
    """Cells of a store, in memory.

    Args:
        store: An open store.
        conditions: Which, in any spelling, `control` included; None for all.

    Returns:
        Counts (or log values) in X as float32 CSR, the source's obs and var; in the store's order.

    Raises:
        ValueError: A condition that the store does not hold.
    """
    view, units = _chosen(store, conditions=conditions)
    matrix = sp.vstack([view.values(rows) for rows in _blocks(units)], format="csr")
    # Concatenation keeps a categorical only where all parts have the same categories: they do.
    obs = pd.concat([view.obs(rows) for rows in _blocks(units)])
    result = anndata.AnnData(X=sp.csr_matrix(matrix), obs=obs, var=view.var)
    result.uns["scdfm"] = _facts(store, view)
    return result


def export(
    store: Path | str,
    out: Path,
    *,
    conditions: Collection[str] | None = None,
    contexts: Collection[str] | None = None,
    normalised: bool = False,
    genes: Sequence[str] | None = None,
    overwrite: bool = False,
    progress: OnProgress | None = None,
) -> None:
    """Write cells of a store to an .h5ad file, some thousand cells at a time.

    Args:
        store: Where they are.
        out: The file to write.
        conditions: Which, in any spelling; None for all.
        contexts: Of which contexts; None for all.
        normalised: log1p per 10k and the store's one spelling of each label, as predictions have,
            instead of the source's values and obs.
        genes: Which, in this order; None for all. Only with `normalised`: counts of some
            genes would lose their library sizes.
        overwrite: Replace what is there.
        progress: Receives the number of cells written.

    Raises:
        ValueError: Not an .h5ad name, or conditions, contexts or genes that the store does not
            hold.
        FileExistsError: `out` exists.
    """
    if out.suffix != ".h5ad":
        raise ValueError(f"expected a name that ends in .h5ad, got {out}; name such a file")
    with Store.open(store) as opened:
        view, units = _chosen(
            opened, conditions=conditions, contexts=contexts, normalised=normalised, genes=genes
        )
        with (
            committed_file(out, overwrite=overwrite) as partial,
            h5py.File(partial, "w") as file,
            anndata.settings.override(allow_write_nullable_strings=True),
        ):
            _write(opened, view, units, file, progress=progress)


def _chosen(
    store: Store,
    *,
    conditions: Collection[str] | None,
    contexts: Collection[str] | None = None,
    normalised: bool = False,
    genes: Sequence[str] | None = None,
) -> tuple[View, list[Unit]]:
    assert normalised or genes is None
    units = _units(store, conditions, contexts)
    return Partner(store, units, genes=genes) if normalised else _Source(store, units), units


def _write(
    store: Store,
    view: View,
    units: Sequence[Unit],
    file: h5py.File,
    *,
    progress: OnProgress | None,
) -> None:
    file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    for name in ("layers", "obsm", "obsp", "varm", "varp"):
        write_elem(file, name, {})
    write_elem(file, "var", view.var)
    write_elem(file, "uns", {"scdfm": _facts(store, view)})
    append_frames(file, "obs", (view.obs(rows) for rows in _blocks(units)))
    blocks = counted(
        _blocks(units, genes=len(view.var)),
        total=sum(map(len, units)),
        unit="cells",
        note="written",
        size=len,
        progress=progress,
    )
    append_rows(
        file,
        "X",
        (view.values(rows) for rows in blocks),
        nonzero=sum(unit.nonzero for unit in units),
    )


class _Source:
    """Cells as the source had them, under its own names."""

    def __init__(self, store: Store, units: Sequence[Unit]) -> None:
        self._store = store
        self.var = store.var
        self.scale = LOG if store.manifest.normalised else COUNTS
        exact = store.manifest.normalised or _largest(store, units) < _EXACT
        self._kind = np.float32 if exact else np.float64
        self._used = self._categories(units)

    def values(self, rows: NDArray[np.int64]) -> sp.csr_matrix:
        """Counts, or log values where there are no counts."""
        return self._store.counts_at(rows).astype(self._kind)

    def obs(self, rows: NDArray[np.int64]) -> pd.DataFrame:
        """The source's columns."""
        table = self._read(rows)
        for name, used in self._used.items():
            table[name] = table[name].cat.set_categories(used)
        return table

    def _read(self, rows: NDArray[np.int64]) -> pd.DataFrame:
        table = self._store.obs_at(rows).drop(columns=LIBRARY_SIZE)
        return table.rename(columns=self._store.manifest.recipe.renamed)

    def _categories(self, units: Sequence[Unit]) -> dict[str, pd.Index]:
        """The conditions and contexts that occur: scanpy stops at a group without cells."""
        recipe = self._store.manifest.recipe
        first = self._read(np.arange(0))
        named = (*recipe.condition_columns, *recipe.context_columns)
        columns = [name for name in named if name in first and hasattr(first[name], "cat")]
        seen = {name: np.zeros(len(first[name].cat.categories), dtype=bool) for name in columns}
        for rows in _blocks(units) if columns else ():
            table = self._read(rows)
            for name in columns:
                codes = table[name].cat.codes.to_numpy()
                seen[name][codes[codes >= 0]] = True
        return {name: first[name].cat.categories[seen[name]] for name in columns}


def _largest(store: Store, units: Sequence[Unit]) -> float:
    """The largest count; read only where it may be too large for float32."""
    if store.counts(0, 1).dtype.itemsize <= 2:
        return 2.0**16
    return max(float(store.counts_at(rows).data.max(initial=0)) for rows in _blocks(units))


def _blocks(units: Sequence[Unit], *, genes: int | None = None) -> Iterator[NDArray[np.int64]]:
    """The rows of the units in parts of bounded length, in rising order."""
    most = _ROWS if genes is None else max(1, min(_ROWS, _VALUES // max(1, genes)))
    part, room = list[NDArray[np.int64]](), most
    for unit in units:
        start = unit.start
        while start < unit.stop:
            stop = min(unit.stop, start + room)
            part.append(np.arange(start, stop))
            start, room = stop, room - (stop - start)
            if not room:
                yield np.concatenate(part)
                part, room = [], most
    if part:
        yield np.concatenate(part)


def _facts(store: Store, view: View) -> dict[str, str]:
    return {
        "store": store.fingerprint,
        "perturbation": store.perturbation,
        "scale": view.scale,
        "control": store.words.spell(()),
    }


def _units(
    store: Store, conditions: Collection[str] | None, contexts: Collection[str] | None
) -> list[Unit]:
    for context in contexts or ():
        if context not in store.contexts:
            raise ValueError(
                f"expected contexts of the store {store.path}, got {context!r}; "
                f"{nearest(context, store.contexts)}"
            )
    units = [unit for unit in store.units if contexts is None or unit.context in contexts]
    if conditions is None:
        return units
    wanted = {store.words.name(name): name for name in conditions}
    found = [unit for unit in units if unit.condition in wanted]
    held = {unit.condition for unit in found}
    missing = [name for key, name in wanted.items() if key not in held]
    if missing or not found:
        raise ValueError(
            f"expected conditions of the store {store.path}, got "
            f"{', '.join(map(repr, missing)) or 'none'}; "
            + (nearest(missing[0], store.conditions) if missing else "see scdfm inspect")
        )
    return found
