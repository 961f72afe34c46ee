"""A report of anything: a sweep, a run, a model, or the file of an evaluation.

A sweep tells what was tried and what mattered, then about its best model.
"""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from cluster.report.evaluated import of_file, of_model
from cluster.report.figures import search
from cluster.report.glossary import glossary
from cluster.report.page import (
    Block,
    Cell,
    Page,
    Part,
    Section,
    Table,
    Terms,
    Text,
    counted,
    number,
)
from cluster.report.records import Tried
from cluster.runs.directory import BEST
from cluster.runs.find_model import MODEL, RUN, SWEEP
from cluster.runs.history.journal import FILE as JOURNAL
from cluster.storage.wanted import these
from cluster.work.evaluation.record import Evaluation
from scdfm.flow.files import WEIGHTS
from scdfm.screen.atomic import sha256
from scdfm.screen.progress import OnProgress
from sweeps.directory import SweepDirectory
from sweeps.ledger import Trial, fold
from sweeps.lock import Locked
from sweeps.proposals.storage import directions
from sweeps.results import Chosen, Row, chosen, leaderboard
from sweeps.schema.space import Space
from sweeps.space import distributions
from sweeps.winners.alike import alike
from sweeps.winners.records import ConditionScore, final
from sweeps.winners.rule import rule_of

log = logging.getLogger(__name__)

_LEARNT = these(RUN, JOURNAL, BEST, f"{MODEL}/{WEIGHTS}")  # of a run in an object store
_LEAST = 4  # complete trials without which importances say nothing


def report(
    targets: Sequence[Path],
    *,
    conditions: Sequence[str] = (),
    store: str | None = None,
    progress: OnProgress | None = None,
) -> Page:
    """The page about some runs, models, sweeps or evaluations.

    Args:
        targets: Directories, or files of `evaluate --out`.
        conditions: To show in detail, in any spelling; none: some from best to worst.
        store: Where the cells are, for what must be evaluated first.
        progress: Is told of the cells generated.

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is none of these, a sweep without a finished trial, or a condition that is
            not in the test part.
    """
    parts, evaluations = [], []
    for target in targets:
        part, evaluation = _part(target, conditions=conditions, store=store, progress=progress)
        parts.append(part)
        evaluations.append(evaluation)
    if len(parts) > 1:
        parts.insert(
            0, Part("Overview", [Section("Side by side", [_overview(parts, evaluations)])])
        )
    return Page(
        title=f"Report: {', '.join(map(str, targets))}",
        about=f"scDFM {version('scdfm')}",
        parts=parts,
        ending=[Section("Glossary", [Terms(glossary(evaluations))], folded=True)],
    )


def _part(
    target: Path,
    *,
    conditions: Sequence[str],
    store: str | None,
    progress: OnProgress | None,
) -> tuple[Part, Evaluation]:
    if target.suffix == ".json" and target.is_file():
        return of_file(target)
    if not (target / SWEEP).is_file():
        return of_model(target, conditions=conditions, store=store, progress=progress)
    found = search_section(SweepDirectory(target))
    if not SweepDirectory(target).best.is_dir():
        raise ValueError(
            f"expected a best model in {SweepDirectory(target).best}, found none: the sweep "
            "has not ended; run `scdfm tune` to its end, or name one of its runs in trials/"
        )
    best, evaluation = of_model(
        SweepDirectory(target).best,
        conditions=conditions,
        store=store,
        run=_trained_in(SweepDirectory(target)),
        progress=progress,
    )
    return Part(str(target), [found, *best.sections], about=best.about), evaluation


def _overview(parts: Sequence[Part], evaluations: Sequence[Evaluation]) -> Table:
    """The model's row of each part."""
    rows = [next(iter(one.tables.values())).overall for one in evaluations]
    metrics = list(dict.fromkeys(metric for scores in rows for metric in scores))
    return Table(
        name="overview",
        caption="Each model on its own test conditions",
        columns=("model", "conditions", *metrics),
        rows=tuple(
            (
                Cell(part.title, part.title),
                Cell(str(one.conditions), one.conditions),
                *(
                    Cell(number(scores[metric].value), _sortable(scores[metric].value))
                    if metric in scores
                    else Cell("-")
                    for metric in metrics
                ),
            )
            for part, one, scores in zip(parts, evaluations, rows, strict=True)
        ),
    )


@dataclass(frozen=True)
class _Shown:
    """A trial: what happened to it, its place on the board, and what figures draw of it."""

    trial: Trial
    row: Row
    tried: Tried


def search_section(directory: SweepDirectory) -> Section:
    """What the search found.

    Raises:
        ValueError: No trial has finished.
    """
    locked = directory.lock.read()
    assert locked is not None, "the file is there"
    known = chosen(directory)
    shown = _shown(directory, locked, known=known)
    tried = [one.tried for one in shown]
    done = [one for one in tried if one.ranked]
    if not done:
        raise ValueError(
            f"none of the {len(tried)} trials of {directory.path} has finished all "
            f"{len(locked.splits)} splits; run `scdfm tune` on until one has"
        )
    metric, mode = locked.objective.metric, locked.objective.direction
    blocks: list[Block] = [
        _leaderboard(shown, metric=metric, mode=mode),
        search.history(tried, metric=metric, mode=mode),
    ]
    blocks += [
        search.front(tried, metric=metric, further=one.metric) for one in locked.objective.further
    ]
    blocks.append(_importances(done, locked))
    logarithmic = [name for name, dimension in locked.space.items() if dimension.log]
    blocks += [
        search.slices(tried, metric=metric, logarithmic=logarithmic),
        search.parallel(tried, metric=metric, mode=mode),
    ]
    hours = directory.ledger.hours()
    told = f"{len(done)} of {len(tried)} trials finished, in {60 * hours:.0f} minutes of search."
    if known is not None:
        told += f" {known.choice[0].upper()}{known.choice[1:]}."
        told += _since(known, shown)
    same = alike(directory, [one.row for one in shown], metric=metric)
    if same is not None:
        told += f" {same}."
    return Section("Search", [Text(told), *blocks, *_final(directory)])


def _since(known: Chosen, shown: Sequence[_Shown]) -> str:
    """What the board has come to since a trial was called best; nothing if it is still first."""
    first = next(one.row.trial for one in shown if one.row.rank == 1)
    if first == known.trial:
        return ""
    return (
        f" The sweep has gone on since, and trial {first} is first now; the best model is still "
        f"that of trial {known.trial}."
    )


def _shown(directory: SweepDirectory, locked: Locked, *, known: Chosen | None) -> list[_Shown]:
    """All trials in the order in which they began, judged as `scdfm tune` does."""
    events = list(directory.ledger.events())
    every = fold(events)
    trials = [one for one in every if one.confirms is None]
    repeats = [one for one in every if one.confirms is not None]
    sweep = locked.as_sweep(directory.path, confirm=rule_of(events))
    rows = {row.directory.name: row for row in leaderboard(sweep, trials, repeats)}
    first = next((row.trial for row in rows.values() if row.rank == 1), None)
    best = first if known is None else known.trial
    return [
        _Shown(one, rows[one.key], _tried(one, rows[one.key], best=best, locked=locked))
        for one in trials
    ]


def _tried(trial: Trial, row: Row, *, best: int | None, locked: Locked) -> Tried:
    value = row.value if row.rank is not None else row.so_far
    return Tried(
        number=trial.number,
        value=math.nan if value is None else value,
        ranked=row.rank is not None,
        settings=trial.configuration,
        name=row.name or "",
        further={one.metric: trial.mean_of(one.metric) for one in locked.objective.further},
        front=row.front,
        best=row.rank is not None and trial.number == best,
    )


def _final(directory: SweepDirectory) -> list[Block]:
    """Test scores of the winner and the base; nothing where the sweep did not ask for them."""
    found = final(directory)
    if found is None:
        return []
    tested = [("winner", found.winner), *([] if found.base is None else [("base", found.base)])]
    rows = [
        (
            Cell(f"{name}, trial {one.trial}", name),
            Cell(str(part.split), part.split),
            Cell(str(part.step), part.step, note="" if part.step else "the untrained network"),
            *(_score(part.scores.get(metric)) for metric in found.winner.splits[0].scores),
        )
        for name, one in tested
        for part in one.splits
    ]
    how = "trained on validation conditions, too" if found.retrain else "as the search left them"
    return [
        Text(f"{found.said[0].upper()}{found.said[1:]}."),
        Table(
            name="final",
            caption=f"Test conditions, once the choice was made; models {how}",
            columns=("model", "split", "steps", *found.winner.splits[0].scores),
            rows=tuple(rows),
        ),
    ]


def _score(score: ConditionScore | None) -> Cell:
    if score is None:
        return Cell("-")
    low, high = score.interval or (math.nan, math.nan)
    note = f"{number(low)} to {number(high)}" if score.interval is not None else ""
    return Cell(number(score.value), _sortable(score.value), note=note)


def _leaderboard(shown: Sequence[_Shown], *, metric: str, mode: str) -> Table:
    sign = 1 if mode == "min" else -1

    def place(one: _Shown) -> tuple[float, float, int]:
        rank = math.inf if one.row.rank is None else one.row.rank
        return rank, _last(sign * one.tried.value), one.trial.number

    names = list(shown[0].tried.settings)
    seeds = any(one.row.over_seeds is not None for one in shown)
    columns = ("trial", metric, *["further seeds"] * seeds, *shown[0].tried.further)
    return Table(
        name="trials",
        caption="All trials, the best first",
        columns=(*columns, "state", "seconds", *names),
        rows=tuple(
            (
                Cell(str(one.trial.number), one.trial.number, note=_called(one)),
                _own_value(one),
                *[_value(_or_nan(one.row.over_seeds), strong=one.tried.best)] * seeds,
                *(_value(score) for score in one.tried.further.values()),
                Cell(one.trial.state, one.trial.state, note=one.trial.error or ""),
                Cell(f"{one.trial.seconds:.0f}", one.trial.seconds),
                *(_setting(one.tried.settings[name]) for name in names),
            )
            for one in sorted(shown, key=place)
        ),
    )


def _own_value(one: _Shown) -> Cell:
    value, row = one.tried.value, one.row
    note = "" if row.of_splits is None else f"so far: {row.of_splits} of {len(row.splits)} splits"
    strong = one.tried.best and row.over_seeds is None
    return Cell(number(value), _sortable(value), strong=strong, note=note)


def _value(value: float, *, strong: bool = False) -> Cell:
    return Cell(number(value), _sortable(value), strong=strong)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def _called(one: _Shown) -> str:
    named = one.tried.name or ("baseline" if one.trial.baseline else "")
    return ", ".join(filter(None, (named, "front" * one.tried.front)))


def _importances(done: Sequence[Tried], locked: Locked) -> Block:
    """How much each setting matters, or why that is not known."""
    if not locked.space:
        return Text("The configurations were listed, not proposed: all of them were tried.")
    unknown = Text(
        f"Which settings matter cannot be told from {counted(len(done), 'complete trial')}; "
        f"it takes {_LEAST} that differ."
    )
    if len(done) < _LEAST:
        return unknown
    known, space = distributions(locked.space), Space(locked.space)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # Of several metrics the first: what matters for it alone.
    study = optuna.create_study(direction=directions(locked.objective)[0])
    for one in done:
        tried = space.parameters(dict(one.settings))
        # The base may lie outside the space.
        if all(locked.space[name].holds(value) for name, value in tried.items()):
            own = {name: known[name] for name in tried}
            study.add_trial(
                optuna.trial.create_trial(params=tried, distributions=own, value=one.value)
            )
    if len(study.trials) < _LEAST or len({trial.value for trial in study.trials}) < 2:
        return unknown
    shares = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=0))
    return search.importances(shares)


def _trained_in(directory: SweepDirectory) -> Path | None:
    """The run that the best model came out of, if it is still there."""
    known = chosen(directory)
    trials = directory.ledger.trials()
    keys = [one.key for one in trials if known is None or one.number == known.trial]
    for run in (run for key in keys for run in directory.runs(key) if run.path.name == "split-0"):
        model = run.fetch(_LEARNT).path / MODEL / WEIGHTS
        # It may be gone, or another's: a search that was stopped as it chose.
        if model.is_file() and sha256(model) == sha256(directory.best / WEIGHTS):
            return run.path
    return None


def _setting(value: float | int | str | bool | None) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(number(value) if isinstance(value, float) else str(value), value)
    return Cell(str(value), str(value))


def _sortable(value: float) -> float | str:
    return value if math.isfinite(value) else ""


def _last(value: float) -> float:
    return value if math.isfinite(value) else math.inf
