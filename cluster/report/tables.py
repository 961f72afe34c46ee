"""Tables of an evaluation: rows beside each other, with how sure they are."""

import math
from collections.abc import Mapping

from cluster.report.page import ARROWS, Cell, Scores, Table, counted, number
from cluster.work.evaluation.record import CEILING, Difference, Evaluation
from scdfm.metrics import METRICS
from scdfm.metrics.table import Score

_FIRST = ("mse", "l2", "pearson_delta")  # metrics that come first, in figures and menus


def overall(evaluation: Evaluation) -> Table:
    """Every metric of every row over all test conditions."""
    tables = {row: table.overall for row, table in evaluation.tables.items()}
    return _table(tables, name="scores", caption=counted(evaluation.conditions, "test condition"))


def by_context(evaluation: Evaluation) -> list[Table]:
    """The same for each context; nothing where there is one."""
    contexts = sorted({name for table in evaluation.tables.values() for name in table.contexts})
    if len(contexts) < 2:
        return []
    return [
        _table(
            {row: table.contexts.get(one, {}) for row, table in evaluation.tables.items()},
            name=f"scores-{one}",
            caption=f"Context {one}",
        )
        for one in contexts
    ]


def differences(evaluation: Evaluation) -> Table | None:
    """The model minus each other row, condition by condition; None where nothing is compared."""
    compared = evaluation.differences
    if not compared:
        return None
    first = next(iter(evaluation.tables))
    metrics = _ordered({metric: None for row in compared.values() for metric in row})
    rows = tuple(
        (
            Cell(_arrow(metric), metric),
            *(_difference(compared[row].get(metric), metric) for row in compared),
        )
        for metric in metrics
    )
    full: list[list[object]] = [
        [
            "metric",
            "row",
            "difference",
            "low",
            "high",
            "wins",
            "losses",
            "conditions",
            "within_noise",
        ]
    ]
    for row, found in compared.items():
        for metric, one in found.items():
            low, high = one.interval or (math.nan, math.nan)
            counts = one.wins, one.losses, one.conditions, one.within_noise
            full.append([metric, row, one.value, low, high, *counts])
    return Table(
        name="differences",
        caption=f"{first} minus each other row, paired by condition",
        columns=("metric", *compared),
        rows=rows,
        full=full,
    )


def conditions(evaluation: Evaluation) -> Scores:
    """Each condition by each row."""
    rows = list(evaluation.tables)
    first = evaluation.tables[rows[0]]
    names = sorted(first.conditions)
    metrics = _ordered({metric: None for scores in first.conditions.values() for metric in scores})
    return Scores(
        name="conditions",
        caption="Each test condition beside each baseline",
        conditions=tuple(names),
        tags=tuple(evaluation.tags.get(name, "").replace("_", " ") for name in names),
        rows=tuple(rows),
        rivals=tuple(row for row in rows if row != CEILING),
        modes={metric: METRICS[metric].mode for metric in metrics},
        values={
            metric: {row: by_condition(evaluation, row, metric, names) for row in rows}
            for metric in metrics
        },
    )


def by_condition(evaluation: Evaluation, row: str, metric: str, names: list[str]) -> list[float]:
    """A row's values of a metric for some conditions; NaN where there is none."""
    of = evaluation.tables[row].conditions
    return [
        of[name][metric].value if name in of and metric in of[name] else math.nan for name in names
    ]


def _table(rows: Mapping[str, Mapping[str, Score]], *, name: str, caption: str) -> Table:
    metrics = _ordered({metric: None for scores in rows.values() for metric in scores})
    lines = []
    for metric in metrics:
        best = _best({row: scores.get(metric) for row, scores in rows.items()}, metric)
        cells = (_score(scores.get(metric), strong=row in best) for row, scores in rows.items())
        lines.append((Cell(_arrow(metric), metric), *cells))
    full: list[list[object]] = [
        ["metric", "row", "value", "low", "high", "sd_over_seeds", "conditions", "undefined"]
    ]
    for row, scores in rows.items():
        for metric, one in scores.items():
            low, high = one.interval or (math.nan, math.nan)
            spread = math.nan if one.repeats_sd is None else one.repeats_sd
            full.append([metric, row, one.value, low, high, spread, one.conditions, one.undefined])
    return Table(
        name=name, caption=caption, columns=("metric", *rows), rows=tuple(lines), full=full
    )


def _score(score: Score | None, *, strong: bool) -> Cell:
    if score is None:
        return Cell("-")
    notes = []
    if score.interval is not None:
        notes.append(
            f"{number(score.interval[0], digits=3)} to {number(score.interval[1], digits=3)}"
        )
    if score.repeats_sd is not None:
        notes.append(f"sd {number(score.repeats_sd, digits=2)} over seeds")
    if score.undefined:
        notes.append(f"undefined in {score.undefined}")
    value = "" if math.isnan(score.value) else score.value
    return Cell(number(score.value), value, strong=strong, note="\n".join(notes))


def _difference(one: Difference | None, metric: str) -> Cell:
    if one is None or not one.conditions:
        return Cell("-")
    better = one.value < 0 if METRICS[metric].mode == "min" else one.value > 0
    notes = [f"better in {one.wins} of {one.conditions}"]
    if one.interval is not None:
        low, high = (f"{end:+.3g}" for end in one.interval)
        notes.insert(0, f"{low} to {high}")
    if one.identical:
        notes = ["identical"]
    elif one.within_noise:
        notes.append("within noise")
    value = "" if math.isnan(one.value) else one.value
    return Cell(
        "-" if value == "" else f"{one.value:+.4g}",
        value,
        strong=better and not one.within_noise,
        note="\n".join(notes),
    )


def _best(scores: Mapping[str, Score | None], metric: str) -> set[str]:
    """Rows with the best value; the noise ceiling is no rival."""
    values = {
        row: score.value
        for row, score in scores.items()
        if score is not None and row != CEILING and not math.isnan(score.value)
    }
    if not values:
        return set()
    best = min(values.values()) if METRICS[metric].mode == "min" else max(values.values())
    return {row for row, value in values.items() if value == best}


def _arrow(metric: str) -> str:
    return f"{metric} {ARROWS[METRICS[metric].mode]}"


def _ordered(metrics: Mapping[str, None]) -> list[str]:
    first = [metric for metric in _FIRST if metric in metrics]
    return [*first, *(metric for metric in metrics if metric not in first)]
