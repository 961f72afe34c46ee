"""How good a model is, as tables for a notebook."""

import math
from collections.abc import Mapping, Sequence
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
    def intervals(self) -> pd.DataFrame:
        """95 % intervals of the table: rows are (row, "low" or "high"); NaN where unknown."""
        return _frame(
            {
                (row, end): {
                    name: math.nan if score.interval is None else score.interval[place]
                    for name, score in table.overall.items()
                }
                for row, table in self.evaluation.tables.items()
                for place, end in enumerate(("low", "high"))
            },
            names=("row", "end"),
        )

    @property
    def differences(self) -> pd.DataFrame:
        """The first row less each other: a row for (other row, metric), paired by condition."""
        return pd.DataFrame(
            [
                {
                    "row": other,
                    "metric": metric,
                    "difference": one.value,
                    "low": math.nan if one.interval is None else one.interval[0],
                    "high": math.nan if one.interval is None else one.interval[1],
                    "wins": one.wins,
                    "conditions": one.conditions,
                    "within_noise": one.within_noise,
                }
                for other, metrics in self.evaluation.differences.items()
                for metric, one in metrics.items()
            ]
        ).set_index(["row", "metric"])

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
    model: "TrainedModel | str | Path | None" = None,
    *,
    store: "str | Path | Store | None" = None,
    split: str | Path | None = None,
    predictions: Mapping[str, str | Path] | None = None,
    metrics: Sequence[str] | None = None,
    profile: str | None = None,
    cells: int | None = None,
    seed: int = 0,
    repeats: int = 1,
    untrained: bool = False,
    precision: Precision = "auto",
    gpu: bool = False,
    again: bool = False,
) -> Scores:
    """Judge a model and its baselines on the test conditions of its split, without Ray.

    Args:
        model: A trained model, or the path of a run, a sweep or a model; none: predictions
            alone are judged, on `store` and `split`.
        store: Cells to judge it on; none: those it was trained on.
        split: File of the split; none: the model's own.
        predictions: Files of other models' predictions by the name of their row.
        metrics: Names; none: the usual ones.
        profile: Metrics and cells of a paper or a challenge: paper, vcc, vcc2026.
        cells: Cells generated for each condition; none: all controls of its context, at least as
            many as were measured, at most 2,000.
        seed: Of the generated cells.
        repeats: Seeds to generate from, whose mean is shown.
        untrained: Judge the network before training, too.
        precision: Number format of the products, as in a run file.
        gpu: Generate on this machine's GPU.
        again: Evaluate also what was evaluated before; else that is read from beside the model.

    Returns:
        `table` is a data frame: rows scDFM, shrunken, scaled, additive, linear, perturbed mean,
        control, predictions and noise ceiling; columns metrics. `differences` is scDFM less each
        other row.

    Raises:
        FileNotFoundError: No such model or store.
        ValueError: A store with other cells or without the model's genes, or no GPU; in one line.
    """
    path = model.path if isinstance(model, TrainedModel) else model and Path(model)
    where = store.path if isinstance(store, Store) else store
    evaluation = evaluate_target(
        path or None,
        store=None if where is None else str(where),
        split=None if split is None else Path(split),
        predictions={name: Path(file) for name, file in (predictions or {}).items()},
        metrics=metrics,
        profile=profile,
        cells=cells,
        seed=seed,
        repeats=repeats,
        untrained=untrained,
        precision=precision,
        gpu=gpu,
        again=again,
    )
    return Scores(evaluation)


def _values(scores: dict[str, Score]) -> dict[str, float]:
    return {name: score.value for name, score in scores.items()}


def _frame(
    rows: dict[tuple[str, str], dict[str, float]], *, names: tuple[str, str]
) -> pd.DataFrame:
    frame = pd.DataFrame(list(rows.values()), index=pd.MultiIndex.from_tuples(rows, names=names))
    return frame.sort_index(level=0, sort_remaining=False)
