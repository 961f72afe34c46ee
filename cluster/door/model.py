"""A trained model in a notebook: control cells in, predicted cells out, in this process.

A predicted value depends on the model, the seed, the condition, the gene, and the control cell's
number and how often it was used before. It does not depend on the batch, on the other conditions
or on which genes are asked for. Where the model's means have a base it depends on the other
controls of the context, too, from whose mean it changes. So the controls of a store give what
`scdfm predict` gives for that store, to float tolerance, if the cells have the same numbers as
there: take them from `scdfm.control_cells(store)`, or from a store that holds only these cells in
this order.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from cluster.door.controls import Columns, MemoryControls, read_controls
from cluster.predict.intervals import INTERVALS, Intervals, intervals_of, trust_in
from cluster.predict.request import (
    Unit,
    asked_condition,
    gene_ids,
    trained_of,
    warn_of_unseen,
)
from cluster.predict.rows import joined, rows_of
from cluster.runs.find_model import model_directory
from cluster.runs.precision import Arithmetic, arithmetic
from cluster.runs.provenance import model_identity, versions
from cluster.runs.whole.unfinished import warn_if_unfinished
from cluster.settings.choices import Precision
from cluster.work.model_sampler import sampler_of
from cluster.work.sampler import Generated, Sampler, Start, refuse_copies, starting_cells
from data_store.store.schema import LOG
from scdfm.flow.certainty.ensemble import open_model
from scdfm.flow.checkpoint import Model, ModelCard
from scdfm.method import DEFAULT
from scdfm.screen.conditions import Condition
from scdfm.screen.untyped import JsonObject
from scdfm.splits import Split
from scdfm.splits.distance import Trained

log = logging.getLogger(__name__)


class TrainedModel:
    """A trained model that predicts cells from control cells.

    Attributes:
        path: The model's directory.
        card: What it is: genes, perturbations, contexts, sampling, provenance.
        split: Which conditions were for training and validation, and which are for the test.
    """

    def __init__(self, model: Model, *, path: Path) -> None:
        self._model = model
        self.path = path
        self.card: ModelCard = model.card
        self.split: Split = model.split

    @property
    def genes(self) -> tuple[str, ...]:
        """Genes that it predicts, in its order."""
        return self.card.genes

    @property
    def perturbations(self) -> tuple[str, ...]:
        """Perturbations of the screen it was trained on, sorted."""
        return self.card.perturbations

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        held = chain(self._model.field.parameters(), self._model.field.buffers())
        return next((tensor.device for tensor in held), torch.device("cpu"))

    def __repr__(self) -> str:
        card = self.card
        run = card.provenance.run
        return (
            f"TrainedModel({str(self.path)!r}: {len(card.genes)} genes, "
            f"{len(card.perturbations)} perturbations ({card.perturbation}), contexts "
            f"{', '.join(card.contexts) or 'unknown'}"
            f"{f', of run {run!r}' if run else ''})"
        )

    def predict(
        self,
        controls: anndata.AnnData,
        conditions: str | Sequence[str],
        *,
        cells: int | None = None,
        genes: Sequence[str] | None = None,
        seed: int = 0,
        interval: float = 0.9,
        with_controls: bool = False,
        layer: str | None = None,
        context_column: str | None = None,
        library_size_column: str | None = None,
        gene_column: str | None = None,
        precision: Precision = "auto",
        device: str | None = None,
    ) -> anndata.AnnData:
        """Predict the cells of conditions, each from a control cell of its own context.

        Args:
            controls: Control cells: counts, or log1p per 10k. Whole numbers are counts; others must
                be log1p per 10k. Genes in any order; others than the model's are left out.
            conditions: Such as "KLF1+MAPK1", one or several, in any spelling and token order.
            cells: Cells of each condition in each context; none: one from each control cell.
            genes: Which to keep, in this order; none: all of the model's.
            seed: Decides every draw.
            interval: Share of cases in which the true mean of a gene should be within its interval.
            with_controls: Add the control cells, as `scdfm predict --with-controls` does.
            layer: "X" or a layer with the values; none: X, or `counts` where X holds no counts.
            context_column: obs column of cell line or patient; none: `context` if there is one,
                else all cells are of one context.
            library_size_column: obs column of all counts of a cell, where controls hold only some
                genes; none: a usual name (`ncounts`, `total_counts`, ...), else row sums.
            gene_column: var column of the gene names; none: the index.
            precision: Number format of the products, as in a run file.
            device: "cpu" or "cuda"; the model moves there. None: where it is.

        Returns:
            log1p per 10k in X, CSR float32, (contexts x conditions x cells, genes). obs is that of
            `scdfm predict`: `condition`, `context`, `source_cell`, `replicate` (how often that
            cell was used before), `control`, `unseen`: tokens that no training cell had, and
            `distance` from the training conditions (docs/uncertainty.md). uns["scdfm"] holds the
            scale, the control's label, the provenance, and what `scdfm.intervals` gives as a table.

        Raises:
            ValueError: A condition is the control or unknown, genes are missing, the values are
                neither counts nor log1p per 10k, or cells are perturbed; in one line.
        """
        asked = self._conditions(conditions)
        if not 0 < interval < 1:
            raise ValueError(f"interval must be above 0 and below 1, got {interval}")
        kept = gene_ids(genes, self.card)
        where = Columns(
            layer=layer,
            context=context_column,
            library_size=library_size_column,
            genes=gene_column,
        )
        known = read_controls(controls, self.card, columns=where)
        counts = {str(one): len(known.rows(one)) for one in sorted(set(known.contexts))}
        if cells is not None:
            if cells < 1:
                raise ValueError(f"cells must be at least 1, got {cells}")
            refuse_copies(self.card, cells=cells, controls=counts)
        if device is not None:
            self._model.field.to(_device(device))
        trained = trained_of(self.card, self.split, words=self.card.words)
        unseen = trained.unseen(asked)
        warn_of_unseen(unseen)
        units = self._units(
            asked, counts, cells=cells, with_controls=with_controls, trained=trained
        )
        starts = [_start(known, unit, seed=seed) for unit in units]
        with arithmetic(precision, device=self.device) as how:
            sampler = sampler_of(self._model, genes=kept, seed=seed, products=how.products)
            values = _values(sampler, known, units, starts, kept=kept)
        intervals = self._intervals(
            values, known, units, starts, kept=kept, level=interval, seed=seed
        )
        names = [known.names[known.places(start.rows)] for start in starts]
        obs = [
            rows_of(unit, sources=name, replicates=start.replicates, unseen=unseen)
            for unit, start, name in zip(units, starts, names, strict=True)
        ]
        predicted = anndata.AnnData(
            X=values,
            obs=joined(obs),
            var=pd.DataFrame(index=pd.Index([self.genes[gene] for gene in kept])),
        )
        predicted.uns["scdfm"] = {
            "scale": LOG,
            "control": self.card.words.spell(()),
            "provenance": json.dumps(self._facts(known, seed=seed, how=how), sort_keys=True),
            INTERVALS: intervals.plain(),
        }
        log.info(intervals.note)
        log.info(intervals.far)
        return predicted

    def _intervals(
        self,
        values: sp.csr_matrix,
        controls: MemoryControls,
        units: Sequence[Unit],
        starts: Sequence[Start],
        *,
        kept: NDArray[np.int64],
        level: float,
        seed: int,
    ) -> Intervals:
        """Means and intervals of all units, from their cells."""
        trust = trust_in(self._model)
        most = trust.canonical(seed)
        ends = np.cumsum([unit.cells for unit in units])

        def generated(number: int) -> Iterator[Generated]:
            first = int(ends[number]) - units[number].cells
            # Further cells are other draws of the same controls.
            rows = controls.rows(units[number].context)
            start = starts[number].some(slice(0, None if most is None else min(most, len(rows))))
            yield Generated(
                cells=values[first : first + len(start.rows)].toarray(),
                start=controls.expression(start.rows)[:, kept],
            )

        predicted = [unit for unit in units if unit.condition]
        return intervals_of(
            predicted, generated, controls=controls, trust=trust, genes=kept, level=level
        )

    def _units(
        self,
        conditions: Sequence[Condition],
        controls: dict[str, int],
        *,
        cells: int | None,
        with_controls: bool,
        trained: Trained,
    ) -> list[Unit]:
        """What is predicted, by context, and the controls last, as `scdfm predict` orders them."""
        spell = self.card.words.spell
        predicted = [
            Unit(context, one, spell(one), cells or count, trained.distance(one, context=context))
            for context, count in controls.items()
            for one in conditions
        ]
        beside = [Unit(context, (), spell(()), count) for context, count in controls.items()]
        return predicted + (beside if with_controls else [])

    def _conditions(self, conditions: str | Sequence[str]) -> tuple[Condition, ...]:
        labels = [conditions] if isinstance(conditions, str) else list(conditions)
        if not labels:
            raise ValueError("expected at least one condition to predict, got none")
        words = self.card.words
        return tuple(dict.fromkeys(asked_condition(one, self.card, words) for one in labels))

    def _facts(self, controls: MemoryControls, *, seed: int, how: Arithmetic) -> JsonObject:
        flow = {"source": self.card.source, "sampling": self.card.sampling.model_dump()}
        return {
            "model": model_identity(self.path, self.card)._asdict(),
            "controls": {"cells": len(controls.names), "values": controls.scale},
            "seed": seed,
            **(flow if self.card.method == DEFAULT else {}),
            **({"mean": self.card.mean_in_words} if self.card.mean else {}),
            "gene_blocks": {"size": self.card.genes_per_step, "seed": self.card.seed},
            "threads": torch.get_num_threads(),
            "arithmetic": how.facts().plain(),
            "versions": versions(),
        }


def load_model(path: str | Path, *, device: str = "cpu") -> TrainedModel:
    """Read the model of a run or sweep, or a model's directory, wherever it was moved to.

    Args:
        path: A run, a sweep, or a model.
        device: "cpu" or "cuda".

    Raises:
        FileNotFoundError: Nothing is there.
        ValueError: It is none of them, holds no model yet or is damaged; or there is no GPU.
    """
    directory = model_directory(Path(path))
    model = open_model(directory)
    warn_if_unfinished(directory)
    model.field.to(_device(device))
    return TrainedModel(model, path=directory)


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"device must be cpu or cuda, got {name!r}") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"expected a GPU for device {name!r}, found none; use device 'cpu'")
    return device


def _start(controls: MemoryControls, unit: Unit, *, seed: int) -> Start:
    """The control cells that a unit starts from, or is."""
    rows = controls.rows(unit.context)
    if not unit.condition:
        return Start(rows, rows, np.zeros(len(rows), dtype=np.int64), np.arange(len(rows)))
    return starting_cells(
        rows, condition=unit.condition, cells=unit.cells, seed=seed, context=unit.context
    )


def _values(
    sampler: Sampler,
    controls: MemoryControls,
    units: Sequence[Unit],
    starts: Sequence[Start],
    *,
    kept: NDArray[np.int64],
) -> sp.csr_matrix:
    """Cells of all units, generated or, of controls, read, (cells, genes kept)."""
    columns = np.searchsorted(sampler.genes, kept)
    blocks = []
    for unit, start in zip(units, starts, strict=True):
        if not unit.condition:
            blocks.append(sp.csr_matrix(controls.expression(start.rows)[:, kept]))
            continue
        for batch in sampler.batches(controls, start, condition=unit.condition):
            blocks.append(sp.csr_matrix(batch[:, columns]))
    return sp.csr_matrix(sp.vstack(blocks, format="csr"))
