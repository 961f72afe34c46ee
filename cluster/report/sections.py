"""Sections of a report about one evaluated model."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cluster.report import tables
from cluster.report.figures import cells as cell_figures
from cluster.report.figures import changes
from cluster.report.figures import conditions as condition_figures
from cluster.report.judged import Judged
from cluster.report.page import Block, Cell, Figure, Section, Table, Terms, Text, number
from cluster.report.records import Differential, Pictured
from cluster.report.training import curves
from cluster.report.umap import umap
from cluster.work.evaluation.record import Evaluation
from cluster.work.evaluation.remarks import mean_remark, remarks
from scdfm.flow.checkpoint import read_card
from scdfm.flow.files import SPLIT
from scdfm.screen.conditions import Words
from scdfm.splits import Split

GENES = 20  # of a condition's case study, as in the paper
LISTED = 50  # genes of a table; its CSV has all
ON_THE_MAP = 150  # cells of a kind and condition
PARTS = ("train", "validation", "test")


def of_evaluation(evaluation: Evaluation) -> list[Section]:
    """What the numbers alone say: tables, differences, conditions."""
    model = next(iter(evaluation.tables))
    scores = tables.conditions(evaluation)
    shown = "l2" if "l2" in scores.values else next(iter(scores.values))
    compared = tables.differences(evaluation)
    beside: list[Block] = [tables.overall(evaluation)]
    if compared is not None:
        beside.append(compared)
    beside += [Text(f"{line[0].upper()}{line[1:]}.") for line in remarks(evaluation)]
    apart = tables.by_context(evaluation)
    return [
        Section("Scores", beside),
        *([Section("Scores by context", apart, folded=True)] if apart else []),
        Section(
            "Conditions",
            [
                scores,
                condition_figures.by_condition(
                    scores.values[shown],
                    conditions=scores.conditions,
                    metric=shown,
                    model=model,
                ),
            ],
        ),
    ]


def of_judged(judged: Judged, *, wanted: Sequence[str], run: Path | None) -> list[Section]:
    """Everything about a model.

    Args:
        judged: The model and its evaluation.
        wanted: Conditions to show in detail; none: some from best to worst.
        run: The directory that it was trained in, where that is known.
    """
    pictured = [judged.pictured(at) for at in judged.units(wanted)]
    with_cells = [one for one in pictured if len(one.real) > 1 and len(one.control) > 1]
    sections = of_evaluation(judged.evaluation)
    if with_cells:
        sections.append(Section("Map of cells", [cell_map(with_cells)]))
    for one in with_cells:
        found = Differential.between(one.real, one.control)
        sections.append(Section(one.title, in_detail(one, found, model=judged.row)))
    card = read_card(judged.model)
    drawn = split_figure(Split.load(judged.model / SPLIT), words=card.words)
    learnt = [] if run is None else curves(run)
    if learnt:
        sections.append(Section("Training", learnt))
    sections.append(Section("Split", [drawn]))
    sections.append(Section("Provenance", [provenance(judged)]))
    return sections


def in_detail(one: Pictured, found: Differential, *, model: str) -> list[Block]:
    """Figures and the table of one condition."""
    strongest = np.argsort(-np.abs(one.real_mean - one.control_mean), kind="stable")[:GENES]
    blocks: list[Block] = [
        cell_figures.case_study(one, genes=strongest, model=model),
        changes.deltas(one, model=model),
        changes.volcano(one, found),
    ]
    if len(one.generated) > 1:
        blocks.append(changes.calibration(one))
    return [*blocks, genes_table(one, found)]


def genes_table(one: Pictured, found: Differential) -> Table:
    """Genes by how surely they differ from control, with what each row predicts."""
    real = one.real_mean - one.control_mean
    predicted = {row: mean - one.control_mean for row, mean in one.means.items()}
    columns = ("gene", "log2 fold change", "FDR", "real change", *predicted)
    full: list[list[object]] = [[*columns[:2], "p", *columns[2:]]]
    rows = []
    for place, gene in enumerate(found.order.tolist()):
        changes_of = [real[gene], *(change[gene] for change in predicted.values())]
        fold = float(found.change[gene])
        full.append(
            [one.genes[gene], fold, float(found.p[gene]), float(found.fdr[gene])]
            + [float(change) for change in changes_of]
        )
        if place < LISTED:
            rows.append(
                (
                    Cell(one.genes[gene], one.genes[gene]),
                    Cell(f"{fold:+.3g}", fold if math.isfinite(fold) else ""),
                    Cell(number(float(found.fdr[gene]), digits=3), float(found.fdr[gene])),
                    *(Cell(f"{change:+.3g}", float(change)) for change in changes_of),
                )
            )
    shown = min(LISTED, len(one.genes))
    return Table(
        name=f"genes-{one.slug}",
        caption=f"{one.title}: the {shown} surest of {len(one.genes)} genes; changes of the mean "
        "in log1p per 10k",
        columns=columns,
        rows=tuple(rows),
        full=full,
    )


def cell_map(pictured: Sequence[Pictured]) -> Figure:
    """Control, real and generated cells of some conditions on one map."""
    parts, kinds, conditions = [], [], []
    contexts = dict.fromkeys(one.context for one in pictured)
    for one in pictured:
        groups = {"real": one.real, "generated": one.generated}
        # Controls of a context are shown once, with its first condition.
        if contexts.pop(one.context, "done") is None:
            groups["control"] = one.control
        for kind, some in groups.items():
            part = some[:ON_THE_MAP]
            parts.append(part)
            kinds += [kind] * len(part)
            conditions += [one.title] * len(part)
    return cell_figures.cell_map(
        umap(np.concatenate(parts)),
        kinds=kinds,
        conditions=conditions,
        names={one.title: one.title for one in pictured},
    )


def split_figure(split: Split, *, words: Words) -> Figure | Table:
    """The split as a matrix; as a table where a matrix would say less."""
    parts = {name: part for part in PARTS for name in getattr(split, part)}
    title = f"Split {split.kind}, fold {split.fold}, seed {split.seed}"
    drawn = None
    tokens = {name: words.parse(name) for name in parts}
    if split.context is not None:
        validating = ", ".join(split.validation_contexts) or "other contexts"
        drawn = condition_figures.split_matrix(
            {("other contexts", name): "train" for name in split.train}
            | {(validating, name): "validation" for name in split.validation}
            | {(split.context, name): "test" for name in split.test},
            sides=("context", "condition"),
            title=title,
        )
    elif {len(one) for one in tokens.values()} == {1, 2}:
        # A single is on the diagonal.
        both = {(one[0], one[-1]): parts[name] for name, one in tokens.items()}
        order = sorted({token for one in tokens.values() for token in one})
        drawn = condition_figures.split_matrix(
            {(one, one): both.get((one, one), "left out") for one in order} | both,
            sides=("perturbation", "perturbation"),
            title=title,
        )
    if drawn is not None:
        return drawn
    return Table(
        name="split",
        caption=title,
        columns=("condition", "part", "tag"),
        rows=tuple(
            (Cell(name, name), Cell(part, part), Cell(split.tags.get(name, "")))
            for name, part in parts.items()
        ),
    )


def provenance(judged: Judged) -> Terms:
    """Where the numbers come from."""
    evaluation, card = judged.evaluation, read_card(judged.model)
    kept = card.provenance
    split = evaluation.split
    facts = {
        "model": f"{judged.model}, weights {(evaluation.weights or '')[:12]}",
        "store": f"{evaluation.store}, fingerprint {evaluation.fingerprint[:12]}",
        "split": f"{split.kind}, fold {split.fold}, seed {split.seed}"
        + (f", context {split.context}" if split.context else ""),
        "evaluation genes": str(evaluation.genes),
        "cells generated": f"{evaluation.cells}, {evaluation.generated}",
        "mean": _mean(evaluation),
        "training seed": str(card.seed),
        "seeds of the cells": ", ".join(map(str, evaluation.seeds)),
        "trained": kept.date or "",
        "evaluated": f"{evaluation.date}, {evaluation.seconds:.0f} s" if evaluation.date else "",
        "arithmetic": _listed(evaluation.arithmetic.plain() if evaluation.arithmetic else {}),
        "code": str(evaluation.commit or kept.commit or "not a git checkout"),
        "versions": _listed(evaluation.versions or kept.versions),
        "machine": _listed(kept.hardware.plain() if kept.hardware else {}),
    }
    return Terms({name: what for name, what in facts.items() if what})


def _mean(evaluation: Evaluation) -> str:
    """How the model's means are made, where they have a base, and where the weight is from."""
    return "; ".join(filter(None, (evaluation.mean, mean_remark(evaluation))))


def _listed(facts: Mapping[str, Any]) -> str:
    def plain(value: Any) -> str:
        return (
            " ".join(map(str, value)) or "none" if isinstance(value, list | tuple) else str(value)
        )

    return ", ".join(f"{name} {plain(value)}" for name, value in facts.items())
