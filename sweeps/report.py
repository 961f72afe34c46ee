"""A report of anything: a sweep, a run, a model, or the file of an evaluation.

A sweep tells what was tried and what mattered, then about its best model.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
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
from cluster.runs.find_model import MODEL, RUN, SWEEP
from cluster.settings.yaml_file import flat
from cluster.work.evaluation.record import Evaluation
from scdfm.flow.files import WEIGHTS
from scdfm.screen.atomic import sha256
from scdfm.screen.progress import OnProgress
from sweeps.directory import SweepDirectory
from sweeps.ledger import Trial
from sweeps.lock import Locked
from sweeps.schema.space import Space
from sweeps.space import distributions, identity

log = logging.getLogger(__name__)

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


def search_section(directory: SweepDirectory) -> Section:
    """What the search found.

    Raises:
        ValueError: No trial has finished.
    """
    locked = directory.lock.read()
    assert locked is not None, "the file is there"
    trials = directory.ledger.trials()
    names = _names(locked)
    tried = [_tried(one, splits=len(locked.splits), names=names) for one in trials]
    done = [one for one in tried if one.ranked]
    if not done:
        raise ValueError(
            f"none of the {len(tried)} trials of {directory.path} has finished all "
            f"{len(locked.splits)} splits; run `scdfm tune` on until one has"
        )
    metric, mode = locked.objective.metric, locked.objective.direction
    blocks: list[Block] = [
        _leaderboard(trials, tried, metric=metric, mode=mode),
        search.history(tried, metric=metric, mode=mode),
    ]
    blocks.append(_importances(done, locked))
    logarithmic = [name for name, dimension in locked.space.items() if dimension.log]
    blocks += [
        search.slices(tried, metric=metric, logarithmic=logarithmic),
        search.parallel(tried, metric=metric, mode=mode),
    ]
    hours = directory.ledger.hours()
    told = f"{len(done)} of {len(tried)} trials finished, in {60 * hours:.0f} minutes of search."
    if directory.choice.is_file():
        chosen = str(json.loads(directory.choice.read_text())["choice"])
        told += f" {chosen[0].upper()}{chosen[1:]}."
    return Section("Search", [Text(told), *blocks])


def _names(locked: Locked) -> dict[str, str]:
    """Names of listed configurations, by what they set."""
    if not locked.configurations:
        return {}
    base = flat(locked.base_run.model_dump(mode="json"))
    settings = {name for one in locked.configurations.values() for name in one}
    usual = {name: base.get(name) for name in settings}
    return {identity(usual | one): name for name, one in locked.configurations.items()}


def _tried(trial: Trial, *, splits: int, names: Mapping[str, str]) -> Tried:
    whole = trial.state == "complete" and len(trial.values) == splits
    last = trial.rounds[max(trial.rounds)] if trial.rounds else math.nan
    value = trial.mean if whole else last
    return Tried(
        number=trial.number,
        value=math.nan if value is None else value,
        ranked=whole and math.isfinite(value),
        settings=trial.configuration,
        name=names.get(identity(trial.configuration), ""),
    )


def _leaderboard(
    trials: Sequence[Trial], tried: Sequence[Tried], *, metric: str, mode: str
) -> Table:
    sign = 1 if mode == "min" else -1
    order = sorted(
        range(len(tried)),
        key=lambda at: (not tried[at].ranked, sign * _last(tried[at].value), tried[at].number),
    )
    names = list(tried[0].settings)
    return Table(
        name="trials",
        caption="All trials, the best first",
        columns=("trial", metric, "state", "seconds", *names),
        rows=tuple(
            (
                Cell(str(tried[at].number), tried[at].number, note=_called(trials[at], tried[at])),
                Cell(number(tried[at].value), _sortable(tried[at].value), strong=place == 0),
                Cell(trials[at].state, trials[at].state, note=trials[at].error or ""),
                Cell(f"{trials[at].seconds:.0f}", trials[at].seconds),
                *(_setting(tried[at].settings[name]) for name in names),
            )
            for place, at in enumerate(order)
        ),
    )


def _called(trial: Trial, tried: Tried) -> str:
    return tried.name or ("baseline" if trial.baseline else "")


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
    study = optuna.create_study(
        direction="minimize" if locked.objective.direction == "min" else "maximize"
    )
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
    weights = sha256(directory.best / WEIGHTS)
    for model in directory.path.glob(f"trials/*/split-0/{MODEL}/{WEIGHTS}"):
        run = model.parents[1]
        if sha256(model) == weights and (run / RUN).is_file():
            return run
    return None


def _setting(value: float | int | str | bool | None) -> Cell:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Cell(number(value) if isinstance(value, float) else str(value), value)
    return Cell(str(value), str(value))


def _sortable(value: float) -> float | str:
    return value if math.isfinite(value) else ""


def _last(value: float) -> float:
    return value if math.isfinite(value) else math.inf
