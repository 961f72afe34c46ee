"""How good a model is, as tables for a notebook."""

from pathlib import Path
from typing import Any

import pandas as pd

from cluster.door.model import TrainedModel
from cluster.settings.choices import Precision
from cluster.work.evaluate import evaluate as evaluate_target
from cluster.work.evaluation.record import Evaluation
from data_store.store.reader import Store
from scdfm.metrics.table import Score


class Scores:
    """Scores of a model and of the baselines it must beat, on the test conditions of its split.

    Attributes:
        evaluation: The whole record: what was judged, on which cells, by which arithmetic.
        table: A row for the model (scDFM) and each baseline, a column for each metric; NaN where
            a metric is undefined.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.table = pd.DataFrame(
            {row: _values(table.overall) for row, table in evaluation.tables.items()}
        ).T

    @property
    def conditions(self) -> pd.DataFrame:
        """The same for each test condition: rows are (condition, method)."""
        return _frame(
            {
                (name, row): _values(scores)
                for row, table in self.evaluation.tables.items()
                for name, scores in table.conditions.items()
            },
            names=("condition", "method"),
        )

    @property
    def contexts(self) -> pd.DataFrame:
        """The same for each context: rows are (context, method)."""
        return _frame(
            {
                (name, row): _values(scores)
                for row, table in self.evaluation.tables.items()
                for name, scores in table.contexts.items()
            },
            names=("context", "method"),
        )

    @property
    def undefined(self) -> pd.DataFrame:
        """Units for which a metric is undefined, laid out as `table`."""
        return pd.DataFrame(
            {
                row: {name: score.undefined for name, score in table.overall.items()}
                for row, table in self.evaluation.tables.items()
            }
        ).T

    def __getitem__(self, metric: str) -> "pd.Series[Any]":
        """A metric of the table, by row."""
        return self.table[metric]

    def __repr__(self) -> str:
        return f"{self._title}\n{self.table.to_string(float_format='{:.5f}'.format, na_rep='-')}"

    def _repr_html_(self) -> str:
        table = self.table.to_html(float_format="{:.5f}".format, na_rep="-", border=0)
        return f"<p>{self._title}</p>{table}"

    @property
    def _title(self) -> str:
        found = self.evaluation
        return (
            f"{found.conditions} test conditions, {found.genes} genes, "
            f"{found.cells} cells generated"
        )


def evaluate(
    model: "TrainedModel | str | Path",
    *,
    store: "str | Path | Store | None" = None,
    cells: int | None = None,
    untrained: bool = False,
    precision: Precision = "auto",
    gpu: bool = False,
) -> Scores:
    """Judge a model and its baselines on the test conditions of its split, without Ray.

    Args:
        model: A trained model, or the path of a run, a sweep or a model.
        store: Cells to judge it on; none: those it was trained on.
        cells: Cells generated for each condition; none: as many as were measured.
        untrained: Judge the network before training, too.
        precision: Number format of the products, as in a run file.
        gpu: Generate on this machine's GPU.

    Returns:
        `table` is a data frame: rows scDFM, control, perturbed mean, additive; columns metrics.

    Raises:
        FileNotFoundError: No such model or store.
        ValueError: A store with other cells or without the model's genes, or no GPU; in one line.
    """
    path = model.path if isinstance(model, TrainedModel) else Path(model)
    where = store.path if isinstance(store, Store) else store
    evaluation = evaluate_target(
        path,
        store=None if where is None else str(where),
        cells=cells,
        untrained=untrained,
        precision=precision,
        gpu=gpu,
    )
    return Scores(evaluation)


def _values(scores: dict[str, Score]) -> dict[str, float]:
    return {name: score.value for name, score in scores.items()}


def _frame(
    rows: dict[tuple[str, str], dict[str, float]], *, names: tuple[str, str]
) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(rows, names=names))
    return frame.sort_index(level=0, sort_remaining=False)
