"""The table that comes with predicted cells: mean and interval of each gene in each condition."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import anndata
import pandas as pd

from cluster.predict.intervals import INTERVALS, Intervals
from data_store.prediction import read_beside, read_outline


def intervals(predicted: anndata.AnnData | str | Path) -> pd.DataFrame:
    """Mean and interval of each gene in each condition and context, of predicted cells.

    Args:
        predicted: What a model's `predict` gave, or a file of `scdfm predict`.

    Returns:
        A row for each gene of each condition and context, genes as the cells have them now:
        `condition`, `context`, `gene`, `mean`, `low`, `high` (log1p per 10k), `cells` that the
        mean is of, `distance` from the training conditions, `new` (why), `nearest` training
        condition. `attrs` says the `level` of the intervals and, in `note`, what they hold.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: The cells came without the table, as those of an older version; or none of
            their genes is in it; or some genes were left out and the table, of an older version,
            does not say which.
    """
    kept: Any = None
    genes: tuple[str, ...] = ()
    if isinstance(predicted, anndata.AnnData):
        ours = predicted.uns.get("scdfm")
        kept = ours.get(INTERVALS) if isinstance(ours, dict) else None
        genes = tuple(map(str, predicted.var_names))
    else:
        path = Path(predicted)
        if not path.exists():
            raise FileNotFoundError(f"no such prediction: {path}")
        with suppress(KeyError, OSError):  # no table, or no file of ours
            kept, genes = read_beside(path, INTERVALS), read_outline(path).genes
    if kept is None:
        raise ValueError(
            "expected cells that scdfm predicted, got some without a table of intervals; predict "
            "them again"
        )
    found = Intervals.read(kept, genes=genes)
    table = found.long
    table.attrs = {"level": found.level, "note": found.note}
    return table
