"""Where the rows of an evaluation are made, one after another."""

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from cluster.runs.precision import Arithmetic
from cluster.work.build import first_weights
from cluster.work.controls import StoreControls
from cluster.work.evaluation.keeping import Picked
from cluster.work.evaluation.others import Others
from cluster.work.evaluation.part import TestPart
from cluster.work.evaluation.record import CEILING, FLOW, OURS, UNTRAINED, RowFacts, RowKind
from cluster.work.evaluation.rows import (
    Judge,
    ModelRow,
    Row,
    Values,
    baseline_row,
    ceiling_row,
    mean_defined,
    usual_cells,
)
from cluster.work.means import PredictedMean
from cluster.work.model_sampler import sampler_of
from cluster.work.sampler import refuse_copies
from scdfm.flow.checkpoint import Model
from scdfm.method import DEFAULT, METHODS, settings_of
from scdfm.metrics import Evidence
from scdfm.metrics.baselines import BASELINES
from scdfm.metrics.profiles import PROFILES
from scdfm.model.field import VelocityField
from scdfm.screen.names import how_many
from scdfm.screen.progress import OnProgress, phase

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """What a model is asked to generate; see `evaluate`."""

    cells: int | None
    seed: int
    repeats: int
    untrained: bool
    profile: str | None


@dataclass(frozen=True)
class Found:
    """All rows, and what is known of how the model's were made."""

    rows: dict[str, Row]
    generated: tuple[int, ...]  # cells of each unit, for one seed
    means: list[PredictedMean]
    picked: Picked
    incomplete: dict[str, int]


@dataclass(frozen=True)
class Bench:
    """Where rows are made, one after another."""

    judge: Judge
    asked: Asked
    how: Arithmetic
    progress: OnProgress | None

    def all_rows(self, model: Model | None, others: Others) -> Found:
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
        return Found(rows, generated, means, picked, incomplete)

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
        one_end = METHODS[model.card.method].one_end(settings_of(model.card))
        return usual_cells(part.units, controls=controls, one_end=one_end, wanted=wanted)

    def _announce(self, maker: ModelRow, model: Model) -> None:
        method, settings = METHODS[model.card.method], settings_of(model.card)
        log.info(
            f"generating {sum(maker.cells):,} cells of {how_many(len(maker.cells), 'unit')}, "
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
