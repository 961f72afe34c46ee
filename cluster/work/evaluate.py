"""Score a model, and all rows that it must beat, on the test part of its split."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from torch import nn

from cluster.runs.find_model import model_directory
from cluster.runs.plan import run_genes
from cluster.runs.precision import Arithmetic, arithmetic
from cluster.runs.provenance import commit, model_identity, versions
from cluster.settings.choices import Precision
from cluster.work.build import first_weights
from cluster.work.controls import StoreControls
from cluster.work.evaluation.certainty import Certainty, differences, draw_again, table_of
from cluster.work.evaluation.keeping import Picked, means_of
from cluster.work.evaluation.kept import kept_beside
from cluster.work.evaluation.others import Others, open_others
from cluster.work.evaluation.part import TestPart
from cluster.work.evaluation.record import (
    CEILING,
    FLOW,
    OURS,
    UNTRAINED,
    Evaluation,
    Noise,
    RowFacts,
    RowKind,
    UnitFacts,
)
from cluster.work.evaluation.rows import (
    CELL_HALVINGS,
    HALVINGS,
    MOST,
    Judge,
    ModelRow,
    Row,
    Values,
    baseline_row,
    ceiling_row,
    mean_defined,
)
from cluster.work.evaluation.scale import over_moved, rescaled
from cluster.work.evaluation.target import prediction_origin, require_same_cells, store_of
from cluster.work.means import PredictedMean
from cluster.work.model_sampler import sampler_of
from cluster.work.sampler import columns_in, refuse_copies
from data_store.store.reader import Store
from scdfm.flow.certainty.ensemble import open_model
from scdfm.flow.checkpoint import Model
from scdfm.method import DEFAULT, METHODS, settings_of
from scdfm.metrics import METRICS, Evidence, Training
from scdfm.metrics.baselines import BASELINES
from scdfm.metrics.profiles import PROFILES, metrics_of
from scdfm.model.field import VelocityField
from scdfm.screen.progress import OnProgress, phase
from scdfm.screen.variable_genes import GeneChoice
from scdfm.splits import Split

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Asked:
    """What a model is asked to generate; see `evaluate`."""

    cells: int | None
    seed: int
    repeats: int
    untrained: bool
    profile: str | None


def evaluate(
    target: Path | None,
    *,
    store: str | None = None,
    split: Path | None = None,
    predictions: Mapping[str, Path] | None = None,
    cells: int | None = None,
    seed: int = 0,
    repeats: int = 1,
    untrained: bool = False,
    metrics: Sequence[str] | None = None,
    profile: str | None = None,
    keep: bool = True,
    precision: Precision = "auto",
    gpu: bool = False,
    progress: OnProgress | None = None,
) -> Evaluation:
    """Score a run's best model, or a model, and others' predictions on the test conditions.

    Baselines are fitted on the training and validation conditions, without the test part. The
    model's cells are those that `predict` gives for the same seed.

    Args:
        target: Run or model directory; or a prediction of ours, judged on the store and the split
            of its model; none: only predictions are judged, on `store` and `split`.
        store: Where the cells are; default the store that the model was trained on.
        split: File of the split; default the model's own.
        predictions: Files of other models' predictions, by the name of their row.
        cells: Cells to generate for a unit; default all controls of its context, at least as many
            as were measured, at most 2,000.
        seed: Of the generated cells, as that of `predict`.
        repeats: Seeds to generate from: `seed` and those that follow.
        untrained: Score the same network with its first weights, too.
        metrics: Names; default the usual ones.
        profile: Metrics and cells of a paper or a challenge.
        keep: Keep the result beside the model.
        precision: Number format of the products; auto: float32 on CPU, bf16 on a GPU that has it.
        gpu: Generate on this machine's GPU.
        progress: Is told of the cells generated.

    Raises:
        FileNotFoundError: Nothing is there, or its store is not where it was.
        ValueError: No run or model, a store with other cells, genes missing from the store, a
            metric that does not exist, predictions that do not fit, or no GPU.
    """
    began = time.monotonic()
    # A wrong name is told before anything is loaded.
    names = metrics_of(profile=profile, metrics=metrics)
    asked = _Asked(cells=cells, seed=seed, repeats=repeats, untrained=untrained, profile=profile)
    device = _device(gpu=gpu)
    origin = None if target is None else prediction_origin(target)
    if target is not None and origin is not None:
        predictions = {OURS: target, **(predictions or {})}
        store, split, target = store or origin.store, split or origin.split, None
    path = None if target is None else model_directory(target)
    model = None if path is None else open_model(path)
    if model is None and (store is None or split is None or not predictions):
        raise ValueError(
            "expected a run or model, or --predictions with --store and --split; name one"
        )
    with ExitStack() as opened:
        if model is None or path is None:
            cells_of = opened.enter_context(Store.open(str(store)))
        else:
            cells_of = opened.enter_context(store_of(model, path, given=store))
        part = _part(model, cells_of, split=split)
        if model is not None:
            require_same_cells(model, cells_of, given=store is not None)
            model.field.to(device)
        others = open_others(predictions or {}, part)
        part = part.on(others.shared(part))
        how = opened.enter_context(arithmetic(precision, device=device))
        judge = Judge(part, names, training=_training(part, names))
        bench = _Bench(judge, asked=asked, how=how, progress=progress)
        found = bench.all_rows(model, others)
        record = _record(found, bench, model=model, path=path, began=began)
        if keep and path is not None:
            means = means_of(found.rows, part)
            kept_beside(path).keep(record, means, found.picked.sample())
    return record


def _device(*, gpu: bool) -> torch.device:
    if gpu and not torch.cuda.is_available():
        raise ValueError("expected a GPU for --gpu, found none that CUDA can use; leave --gpu out")
    return torch.device("cuda" if gpu else "cpu")


def _part(model: Model | None, store: Store, *, split: Path | None) -> TestPart:
    """The test units, on the genes of the model or on those that a run would choose."""
    if model is None:
        assert split is not None
        divided = Split.load(split)
        genes = run_genes(GeneChoice(), store, split=divided)
        evaluation = np.searchsorted(genes.model, genes.evaluation)
        return TestPart(store, divided, genes.model, evaluation)
    card = model.card
    row = {gene: position for position, gene in enumerate(card.genes)}
    evaluation = np.sort(np.array([row[gene] for gene in card.evaluation_genes], dtype=np.int64))
    divided = model.split if split is None else Split.load(split)
    return TestPart(store, divided, columns_in(store, card), evaluation)


def _training(part: TestPart, names: tuple[str, ...]) -> Training | None:
    return part.training_facts() if any("training" in METRICS[n].needs for n in names) else None


@dataclass(frozen=True)
class _Found:
    """All rows, and what is known of how the model's were made."""

    rows: dict[str, Row]
    generated: tuple[int, ...]  # cells of each unit, for one seed
    means: list[PredictedMean]
    picked: Picked
    incomplete: dict[str, int]


@dataclass(frozen=True)
class _Bench:
    """Where rows are made, one after another."""

    judge: Judge
    asked: _Asked
    how: Arithmetic
    progress: OnProgress | None

    def all_rows(self, model: Model | None, others: Others) -> _Found:
        """The model, its untrained self, baselines, the ceiling, and others' predictions."""
        part, picked = self.judge.part, Picked(self.judge.part)
        rows: dict[str, Row] = {}
        means: list[PredictedMean] = []
        generated: tuple[int, ...] = ()
        like: Evidence | None = None
        clamp = True
        if model is not None:
            name = _row_of(model.card.method)
            maker = self._maker(model)
            clamp = maker.sampler.method.clamps(maker.sampler.settings)
            generated = tuple(maker.cells)
            self._announce(maker, model)
            rows[name], means = self._model_row(maker, picked=picked)
            like = rows[name].evidence
            if maker.flow is not None:
                rows[FLOW], _ = self._model_row(maker.flow, like=like, kind="flow")
            if self.asked.untrained:
                phase(log, "generating them again with untrained weights")
                first = (maker.flow or maker).of(_first_weights(model))
                rows[UNTRAINED], _ = self._model_row(first, like=like, kind="untrained")
        phase(log, "scoring the baselines")
        incomplete: dict[str, int] = {}
        for name, prediction in part.baselines().items():
            mean = prediction.mean[:, part.evaluation]
            incomplete[name] = int(prediction.incomplete.sum())
            rows[name] = baseline_row(
                self.judge, mean, incomplete=incomplete[name], clamp=clamp, like=like
            )
            like = like or rows[name].evidence
        assert like is not None
        for name, row in others.rows(self.judge, like=like).items():
            rows[name] = row
        if others.files and model is None:
            # Theirs come first: differences are theirs to the baselines.
            rows = {name: rows[name] for name in [*others.files, *rows] if name in rows}
        phase(log, "scoring half of the real cells against the other half")
        rows[CEILING] = ceiling_row(self.judge, like=like)
        return _Found(rows, generated, means, picked, incomplete)

    def _maker(self, model: Model) -> ModelRow:
        part = self.judge.part
        sampler = sampler_of(
            model, genes=part.evaluation, seed=self.asked.seed, products=self.how.products
        )
        return ModelRow(
            sampler, StoreControls(part.store, part.columns), cells=self._cells(model, part)
        )

    def _cells(self, model: Model, part: TestPart) -> list[int]:
        """Cells to generate for each unit."""
        controls = {one: len(part.store.controls[one]) for one in part.contexts}
        profile = None if self.asked.profile is None else PROFILES[self.asked.profile]
        wanted = self.asked.cells or (None if profile is None else profile.cells)
        if self.asked.cells is not None:
            refuse_copies(model.card, cells=self.asked.cells, controls=controls)
        usual = [wanted or min(MOST, max(controls[unit.context], len(unit))) for unit in part.units]
        if METHODS[model.card.method].one_end(settings_of(model.card)):
            # A second cell from a control would be a copy of the first.
            return [
                min(count, controls[unit.context])
                for count, unit in zip(usual, part.units, strict=True)
            ]
        return usual

    def _announce(self, maker: ModelRow, model: Model) -> None:
        method, settings = METHODS[model.card.method], settings_of(model.card)
        log.info(
            f"generating {sum(maker.cells)} cells of {len(maker.cells)} units, "
            f"{len(maker.sampler.genes)} genes, {method.describe(settings)} ({self.how})"
        )

    def _model_row(
        self,
        maker: ModelRow,
        *,
        picked: Picked | None = None,
        like: Evidence | None = None,
        kind: RowKind = "model",
    ) -> tuple[Row, list[PredictedMean]]:
        each: list[Values] = []
        means: list[PredictedMean] = []
        first = like
        for seed in range(self.asked.seed, self.asked.seed + self.asked.repeats):
            evidence, found = maker.generate(
                self.judge,
                seed=seed,
                like=first,
                progress=self.progress,
                keep=None if picked is None or seed > self.asked.seed else picked.add,
            )
            first = first or evidence
            means = means or found
            each.append(self.judge.values(evidence))
            if seed == self.asked.seed:
                of_first_seed = evidence
        values = {name: mean_defined(np.stack([one[name] for one in each])) for name in each[0]}
        facts = RowFacts(kind=kind, cells=sum(maker.cells))
        return Row(facts, values, of_first_seed, seeds=tuple(each) if len(each) > 1 else ()), means


def _row_of(method: str) -> str:
    """The name of a model's row; that of a baseline is taken."""
    if method == DEFAULT:
        return OURS
    taken = (FLOW, UNTRAINED, CEILING, *BASELINES)
    return f"{method} (model)" if method in taken else method


def _first_weights(model: Model) -> nn.Module:
    """The network as training found it; of an ensemble that of its first member."""
    model = model.members[0] if model.members else model
    card = model.card
    network = first_weights(card, seed=card.seed, vocabulary=card.vocabulary, graph=model.graph)
    if isinstance(network, VelocityField) and isinstance(model.field, VelocityField):
        network.give(model.field.given)
    held = [*model.field.parameters(), *model.field.buffers()]
    return network.to(held[0].device if held else torch.device("cpu"))


def _record(
    found: _Found, bench: _Bench, *, model: Model | None, path: Path | None, began: float
) -> Evaluation:
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
        split={
            "kind": split.kind,
            "seed": split.seed,
            "fold": split.fold,
            "context": split.context,
        },
        tags=split.tags,
        genes=len(part.genes),
        genes_of_all_cells=store.manifest.recipe.genes,
        conditions=len(set(part.conditions)),
        cells=sum(found.generated),
        method=None if card is None else card.method,
        sampling={} if card is None else card.sampling.model_dump(),
        generated="" if method is None else method.describe(settings),
        mean="" if card is None else card.mean_in_words,
        flow=None if card is None else card.mean,
        seeds=tuple(range(bench.asked.seed, bench.asked.seed + bench.asked.repeats))
        if card is not None
        else (),
        clamped=method is None or method.clamps(settings),
        arithmetic={} if card is None else bench.how.facts(),
        tables=tables,
        profile=bench.asked.profile,
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
        date=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - began, 3),
    )


def _noise(found: _Found, sure: Certainty) -> Noise:
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
