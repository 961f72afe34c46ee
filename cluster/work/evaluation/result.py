"""What an evaluation says: its rows, how sure they are, and how all of it came about."""

import logging
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from cluster.runs.provenance import commit, model_identity, versions
from cluster.work.evaluation.bench import Bench, Found
from cluster.work.evaluation.certainty import Certainty, differences, draw_again, table_of
from cluster.work.evaluation.code import code
from cluster.work.evaluation.record import AskedFacts, Evaluation, Noise, SplitFacts, UnitFacts
from cluster.work.evaluation.rows import CELL_HALVINGS, HALVINGS
from cluster.work.evaluation.scale import over_moved, rescaled
from scdfm.flow.checkpoint import Model
from scdfm.method import METHODS, settings_of
from scdfm.screen.progress import phase

log = logging.getLogger(__name__)


def record_of(
    found: Found, bench: Bench, *, model: Model | None, path: Path | None, asked: AskedFacts
) -> Evaluation:
    """The record of all rows; how long it took is to be added.

    Args:
        found: Rows, and how the model's were made.
        bench: Where they were made.
        model: The model that was scored; None: others' predictions alone.
        path: Of the model.
        asked: What was asked for.
    """
    part, rows = bench.judge.part, found.rows
    store, split, card = part.store, part.split, None if model is None else model.card
    phase(log, "drawing cells and conditions again")
    sure = draw_again(rows, part)
    first = next(iter(rows))
    tables = {name: table_of(name, row, part, sure=sure) for name, row in rows.items()}
    method = None if card is None else METHODS[card.method]
    settings = None if card is None else settings_of(card)
    generated = found.generated or (0,) * len(part.units)
    return Evaluation(
        model=None if path is None else str(path),
        weights=None if path is None or card is None else model_identity(path, card).weights,
        store=str(store.path),
        fingerprint=store.fingerprint,
        split=SplitFacts(kind=split.kind, seed=split.seed, fold=split.fold, context=split.context),
        tags=split.tags,
        genes=len(part.genes),
        genes_of_all_cells=store.manifest.recipe.genes,
        conditions=len(set(part.conditions)),
        cells=sum(found.generated),
        method=None if card is None else card.method,
        sampling=None if card is None else card.sampling,
        generated="" if method is None else method.describe(settings),
        mean="" if card is None else card.mean_in_words,
        flow=None if card is None else card.mean,
        seeds=tuple(range(bench.asked.seed, bench.asked.seed + bench.asked.repeats))
        if card is not None
        else (),
        clamped=method is None or method.clamps(settings),
        arithmetic=None if card is None else bench.how.facts(),
        tables=tables,
        profile=bench.asked.profile,
        asked=asked,
        rescaled=rescaled(tables, profile=bench.asked.profile),
        over_moved_controls=over_moved(tables),
        rows={name: row.facts for name, row in rows.items()},
        differences=differences(first, rows, part, sure=sure),
        units=tuple(
            UnitFacts(
                context=unit.context,
                condition=unit.condition,
                label=unit.label,
                cells=len(unit),
                controls=len(store.controls[unit.context]),
                generated=count,
                tag=split.tags.get(unit.condition, ""),
            )
            for unit, count in zip(part.units, generated, strict=True)
        ),
        noise=_noise(found, sure),
        incomplete=found.incomplete,
        versions=versions(),
        commit=commit(),
        code=code(),
        date=datetime.now(tz=UTC).isoformat(timespec="seconds"),
    )


def _noise(found: Found, sure: Certainty) -> Noise:
    error, plain = (
        float(np.mean([getattr(one, name) for one in found.means])) if found.means else None
        for name in ("error", "plain_error")
    )
    return Noise(
        over="cells" if sure.few else "conditions and cells",
        draws=sure.draws,
        halvings=HALVINGS,
        cell_halvings=CELL_HALVINGS,
        corrected=sum(one.corrected for one in found.means),
        generated=error,
        variance_left=error / plain if error is not None and plain else None,
    )
