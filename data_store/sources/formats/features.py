"""Genes of 10x files: which features are genes, and names that occur twice told apart."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from data_store.sources.notes import note
from scdfm.screen.names import listed

_FEW = 3  # names in a message


class Features(NamedTuple):
    """What the columns of the matrix are."""

    var: pd.DataFrame  # of the genes, by symbol
    kept: NDArray[np.int64] | None  # columns that are genes; None: all


def chosen(table: pd.DataFrame, *, types: Sequence[str], where: str, name: str) -> Features:
    """The features of some types, by symbol; what is left out or renamed is logged.

    Args:
        table: Columns `symbol` and `gene_ids`, and `feature_types` where the file has them.
        types: Feature types to keep.
        where: The file, for errors.
        name: The file, for notes.

    Raises:
        ValueError: There is no feature of these types.
    """
    kept = None
    if "feature_types" in table:
        kinds = table["feature_types"]
        wanted = kinds.isin(types)
        if not wanted.any():
            raise ValueError(
                f"expected features of type {' or '.join(map(repr, types))} in {where}, found "
                f"{', '.join(sorted(set(kinds)))}; name a file with genes, or the types with "
                "--feature-type"
            )
        table = table[wanted]
        if len(table) < len(kinds):
            kept = np.flatnonzero(wanted)
            others = kinds[~wanted].value_counts().sort_index()
            told = ", ".join(f"{count} of type {kind}" for kind, count in others.items())
            note(f"{name}: left out features that are not genes: {told}")
    symbols = told_apart(table["symbol"], ids=table["gene_ids"], name=name)
    return Features(var=table.drop(columns="symbol").set_axis(symbols), kept=kept)


def told_apart(symbols: "pd.Series[str]", *, ids: "pd.Series[str]", name: str) -> pd.Index:
    """Names for genes: the first gene of a symbol keeps it, others get their id added."""
    again = symbols.duplicated()
    names = symbols.where(~again, symbols + "_" + ids)
    if names.duplicated().any():  # repeats that even their ids do not tell apart
        number = names.groupby(names).cumcount().astype(str)
        names = names.where(~names.duplicated(), names + "_" + number)
    if again.any():
        note(
            f"{name}: {int(again.sum())} repeated gene names got their id added, such as "
            f"{listed(names[again].iloc[:_FEW].tolist())}; the first gene keeps the name"
        )
    index: pd.Index = pd.Index(names.to_numpy(dtype=object))
    return index
