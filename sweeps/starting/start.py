"""A run file and a sweep file for a user's own cells: `scdfm init`.

The files are looked at as `ingest` would. What the settings follow from is written beside them.
"""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import yaml

from cluster.settings.config import RunConfig, make_run
from cluster.work.cost.limited import Cost, measure
from data_store.ingest.look import Screen, look_at
from data_store.sources.options import IngestOptions
from data_store.sources.places import Given
from scdfm.screen.atomic import write_text
from scdfm.screen.conditions import Condition
from scdfm.screen.names import how_many
from scdfm.screen.progress import phase
from scdfm.screen.untyped import Unchecked
from scdfm.splits import Split, SplitConfig, make_split
from scdfm.splits.told import validation_in_words
from sweeps.schema.files import make_sweep
from sweeps.starting.text import RUN, SWEEP, TRIALS, run_text, sweep_text

log = logging.getLogger(__name__)

STORE = "cells.zarr"
_KINDS = ("additive", "context", "holdout")  # in the order of how much they ask of a model
_FOLDS = 2  # of a sweep
_LEAST_STEPS = 100
_MOST_STEPS = 100_000
_ROUNDS = 4  # of validation
_MORE = 1.2  # times the minutes, above which the steps are said to take longer
_SPENT = 0.9  # of the minutes, for steps and rounds: Ray has to start, too


class Started(NamedTuple):
    """What was written.

    Attributes:
        name: Of the run.
        run, sweep: The files.
        store: Where they expect the store.
        split: What will be tested.
        steps: Of the run.
        seconds: That it takes, as measured; none where a step could not be measured.
    """

    name: str
    run: Path
    sweep: Path
    store: Path
    split: Split
    steps: int
    seconds: float | None


@dataclass(frozen=True)
class _Split:
    config: SplitConfig
    split: Split


class _Plan(NamedTuple):
    """A run of a preset with as many steps as the minutes allow."""

    preset: str
    run: RunConfig
    cost: Cost | None  # none: it could not be found out
    seconds: float | None  # of the run
    instead: str  # why it is not the usual preset; empty: it is


def start(
    sources: Sequence[Given],
    folder: Path,
    *,
    options: IngestOptions,
    minutes: float = 30,
    gpu: bool = False,
) -> Started:
    """Write a run file and a sweep file for cells that are not in a store yet.

    Args:
        sources: As `ingest` takes them.
        folder: For the files; made if it is not there.
        options: As they would be given to `ingest`.
        minutes: That the run may take on this machine.
        gpu: Whether it will train on a GPU, with the paper's network.

    Raises:
        FileExistsError: The folder has such files, and options do not say to overwrite.
        FileNotFoundError, ValueError: Bad input, in one line.
    """
    _require_free(folder, overwrite=options.overwrite)
    phase(log, "looking at the cells")
    screen = look_at(sources, options=options)
    chosen = _chosen_split(screen)
    plan = _plan(screen, folder, chosen=chosen, minutes=minutes, gpu=gpu)
    run, seconds = plan.run, plan.seconds
    if seconds is not None and _longer(seconds, minutes):
        log.warning(
            "%d steps, the fewest that are set, take %.2g minutes here, and %g were asked for",
            run.training.steps,
            seconds / 60,
            minutes,
        )
    why = dict(_reasons(screen, chosen, plan=plan, minutes=minutes))
    text = run_text(run, preset=plan.preset, why=why)
    splits = _splits(chosen.config, screen)
    sweep = sweep_text(run, splits=splits, why=why, gpu=gpu, folder=folder)
    _require_loading(text, sweep)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in ((RUN, text), (SWEEP, sweep)):
        write_text(folder / name, content)
    return Started(
        name=run.name,
        run=folder / RUN,
        sweep=folder / SWEEP,
        store=folder / STORE,
        split=chosen.split,
        steps=run.training.steps,
        seconds=seconds,
    )


def _require_loading(run: str, sweep: str) -> None:
    """What is written must load; the sweep's base is that very run."""
    base = yaml.safe_load(run)
    make_run(base, where=RUN)
    own = {name: value for name, value in base.items() if name not in ("name", "output", "split")}
    make_sweep({**yaml.safe_load(sweep), "base": own}, where=SWEEP)


def _require_free(folder: Path, *, overwrite: bool) -> None:
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"expected a folder for {RUN} and {SWEEP}, got the file {folder}")
    there = [name for name in (RUN, SWEEP) if (folder / name).exists()]
    if there and not overwrite:
        raise FileExistsError(
            f"{folder} already holds {' and '.join(there)}; pass --overwrite to replace them, or "
            "name another folder"
        )


def _name(folder: Path) -> str:
    """The folder's name as the name of a run."""
    signs = folder.resolve().name
    kept = "".join(sign if sign.isalnum() or sign in "._-" else "-" for sign in signs)
    return kept.lstrip("._-") or "mine"


def _chosen_split(screen: Screen) -> _Split:
    """The first kind of split that these conditions allow.

    Raises:
        ValueError: None of them does; says what the last one wanted.
    """
    last: ValueError | None = None
    for kind in _KINDS:
        config = SplitConfig(kind=kind)
        try:
            return _Split(config, _split(config, screen))
        except ValueError as error:
            last = error
    raise ValueError(f"no split leaves conditions to train and to test: {last}") from last


def _split(config: SplitConfig, screen: Screen) -> Split:
    return make_split(
        config, conditions=_perturbed(screen), words=screen.words, contexts=screen.contexts
    )


def _validated(split: Split, screen: Screen) -> int:
    """Units that validate."""
    return sum(
        split.part(name, context=context) == "validation"
        for name in _perturbed(screen)
        for context in screen.contexts[name]
    )


def _perturbed(screen: Screen) -> dict[str, Condition]:
    return {name: tokens for name, tokens in screen.conditions.items() if tokens}


def _run(screen: Screen, folder: Path, *, split: SplitConfig, preset: str) -> RunConfig:
    """The run with a preset, and sizes that these cells allow."""
    name = _name(folder)
    usual = make_run(
        {"preset": preset, "store": STORE, "name": name, "split": {"kind": split.kind}},
        where=preset,
    )
    # The perturbed genes are always among them.
    most = max(usual.genes.model, len(_measured_tokens(screen)) + 1)
    genes = min(len(screen.genes), most)
    told: Unchecked = {
        "preset": preset,
        "store": str(folder / STORE),
        "name": name,
        "output": str(folder / "runs"),
        "split": split.model_dump(exclude_unset=True),
        "genes": {"model": genes, "evaluation": min(genes, usual.genes.evaluation)},
        "batch": {
            "conditions": min(usual.batch.conditions, max(1, len(_perturbed(screen)) - 1)),
            "cells": max(2, min(usual.batch.cells, screen.fewest)),
            "genes": min(genes, usual.batch.genes),
        },
    }
    return make_run(told, where=RUN)


def _plan(screen: Screen, folder: Path, *, chosen: _Split, minutes: float, gpu: bool) -> _Plan:
    """The run of the first preset that has some steps in these minutes, else of the last one."""
    units, instead = _validated(chosen.split, screen), ""
    presets = _presets(screen, gpu=gpu)
    for preset in presets:
        run = _run(screen, folder, split=chosen.config, preset=preset)
        cost = _measured(run, screen, gpu=gpu)
        known = cost is not None and not cost.at_least
        run = _timed(run, cost, minutes=minutes, units=units) if cost and known else run
        seconds = cost.run_seconds(run, units=units) if cost and known else None
        if preset == presets[-1] or cost is None or (known and not _longer(seconds, minutes)):
            break
        took = f"over {cost.step_seconds:.0f} s for a step"
        if seconds is not None:
            took = f"{seconds / 60:.2g} minutes for {run.training.steps} steps"
        instead = f"preset {preset} would take {took} here, and {minutes:g} were asked for"
        log.warning("%s: a smaller one is taken, to see a run go through", instead)
    return _Plan(preset, run, cost, seconds, instead)


def _longer(seconds: float | None, minutes: float) -> bool:
    """Whether a run takes more than was asked for, though it has the fewest steps."""
    return seconds is not None and seconds > _MORE * minutes * 60


def _presets(screen: Screen, *, gpu: bool) -> list[str]:
    """Presets for such cells, the usual one first, then what takes less."""
    if not gpu:
        return ["small", "tiny"]
    return ["norman" if screen.perturbation == "gene" else "combosciplex"]


def _measured_tokens(screen: Screen) -> set[str]:
    tokens = {token for some in screen.conditions.values() for token in some}
    return tokens.intersection(screen.genes)


def _measured(run: RunConfig, screen: Screen, *, gpu: bool) -> Cost | None:
    """What a step takes here; None where that cannot be found out."""
    phase(log, "measuring a few steps")
    tokens = {token for some in screen.conditions.values() for token in some}
    sizes = {
        "genes": len(screen.genes),
        "tokens": len(tokens),
        "perturbation": screen.perturbation,
    }
    try:
        cost = measure(run, gpu=gpu, threads=os.cpu_count() or 1, sizes=sizes)
    except RuntimeError as error:
        log.warning("%s; the steps are the preset's", error)
        return None
    return cost


def _timed(run: RunConfig, cost: Cost, *, minutes: float, units: int) -> RunConfig:
    """The run with as many steps as the minutes allow."""
    rounds = (_ROUNDS + 1) * min(run.validation.units, units) * run.validation.cells
    left = _SPENT * minutes * 60 - rounds * cost.cell_seconds
    steps = int(min(_MOST_STEPS, max(_LEAST_STEPS, left / cost.step_seconds)))
    digits = 10 ** max(0, len(str(steps)) - 2)
    steps = max(_LEAST_STEPS, steps // digits * digits)
    training = run.training.model_copy(
        update={
            "steps": steps,
            "validate_every": -(-steps // _ROUNDS),
            "warmup": min(run.training.warmup, steps // 10),
        }
    )
    return run.model_copy(update={"training": training})


def _reasons(
    screen: Screen, chosen: _Split, *, plan: _Plan, minutes: float
) -> Iterator[tuple[str, str]]:
    """Why a setting is as it is, by the section that it is in."""
    parts = chosen.split
    yield (
        "split",
        f"{how_many(len(parts.train), 'condition')} train, {validation_in_words(parts)} validate, "
        f"{how_many(len(parts.test), 'condition')} test"
        + (f" in context {parts.context}" if parts.context is not None else ""),
    )
    yield "genes", f"of {len(screen.genes):,} in the file"
    yield "batch", f"the smallest condition has {screen.fewest:,} cells"
    yield "preset", plan.instead
    splits = len(_splits(chosen.config, screen))
    trials = f"{TRIALS} trials of {how_many(splits, 'split')}"
    if plan.cost is None or plan.seconds is None:
        yield "training", "a step could not be measured here: the preset's steps"
        yield "budget", f"{trials}, each as long as the run; hours: N beside it ends them sooner"
        return
    yield (
        "training",
        f"{plan.cost.step_seconds:.2g} s a step as measured here: {plan.seconds / 60:.0f} minutes "
        f"(asked for {minutes:g})",
    )
    hours = TRIALS * splits * plan.seconds / 3600
    yield (
        "budget",
        f"{trials}, each {plan.seconds / 60:.2g} minutes: {hours:.2g} hours of this machine if "
        "none\n# is pruned; `hours: N` beside trials ends the search sooner",
    )


def _splits(config: SplitConfig, screen: Screen) -> list[dict[str, str | int]]:
    """Folds that differ and can be made."""
    found: list[dict[str, str | int]] = []
    seen: set[tuple[str | None, tuple[str, ...]]] = set()
    for fold in range(_FOLDS):
        told = config.model_copy(update={"fold": fold})
        try:
            split = _split(told, screen)
        except ValueError:
            continue
        if (split.context, split.test) not in seen:
            seen.add((split.context, split.test))
            found.append({"kind": config.kind, "fold": fold})
    return found
