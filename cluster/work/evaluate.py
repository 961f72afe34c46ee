"""Score a model and the baselines it must beat on the test part of its split."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cluster.runs.directory import RunDirectory
from cluster.runs.find_model import RUN, model_directory
from cluster.runs.plan import units_of
from cluster.runs.precision import Arithmetic, arithmetic
from cluster.runs.store_version import open_version
from cluster.settings.choices import Precision
from cluster.work.build import first_weights
from cluster.work.controls import StoreControls
from cluster.work.evaluation.record import OURS, UNTRAINED, Evaluation
from cluster.work.means import control_means, pseudobulks, unit_means
from cluster.work.sampler import Sampler, columns_in
from data_store.store.reader import Store
from data_store.stream import Cells
from scdfm.flow.checkpoint import Model, load_model
from scdfm.method import DEFAULT, METHODS, settings_of
from scdfm.metrics import Pseudobulks
from scdfm.metrics import evaluate as score
from scdfm.metrics.baselines import MeasuredUnits, Prediction, Units, all_baselines
from scdfm.screen.names import nearest
from scdfm.screen.progress import OnProgress

log = logging.getLogger(__name__)


def evaluate(
    target: Path,
    *,
    store: str | None = None,
    cells: int | None = None,
    untrained: bool = False,
    precision: Precision = "auto",
    gpu: bool = False,
    progress: OnProgress | None = None,
) -> Evaluation:
    """Score a run's best model, or a model, on its test conditions.

    Baselines are fitted on the training and validation conditions, without the test part.

    Args:
        target: Run or model directory.
        store: Where the cells are; default the store that the model was trained on.
        cells: Cells to generate for a unit; default as many as were measured.
        untrained: Score the same network with its first weights, too.
        precision: Number format of the products; auto: float32 on CPU, bf16 on a GPU that has it.
        gpu: Generate on this machine's GPU.
        progress: Is told of the cells generated.

    Raises:
        FileNotFoundError: Nothing is there, or its store is not where it was.
        ValueError: No run or model, a store with other cells, genes missing from the store, or
            no GPU.
    """
    device = _device(gpu=gpu)
    path = model_directory(target)
    model = load_model(path)
    with _store_of(model, path, given=store) as cells_of:
        _same_cells(model, cells_of, given=store is not None)
        model.field.to(device)
        with arithmetic(precision, device=device) as how:
            return _evaluate(
                model,
                path,
                cells_of,
                cells=cells,
                untrained=untrained,
                how=how,
                progress=progress,
            )


def _device(*, gpu: bool) -> torch.device:
    if gpu and not torch.cuda.is_available():
        raise ValueError("expected a GPU for --gpu, found none that CUDA can use; leave --gpu out")
    return torch.device("cuda" if gpu else "cpu")


def _store_of(model: Model, path: Path, *, given: str | None) -> Store:
    """The store given, or the model's own; in both the model's version, if it is there."""
    if given is None:
        return _own_store(model, path)
    return open_version(given, trained_on=model.card.provenance.get("fingerprint"), what="cells")


def _own_store(model: Model, path: Path) -> Store:
    """The store that a model was trained on, in the version that it was trained on.

    After a store has moved, a continued run knows the new place, but its model the old one.
    """
    written = str(model.card.provenance["store"])
    run = RunDirectory(path.parent)
    places = [written, run.settings.store] if (path.parent / RUN).is_file() else [written]
    for place in dict.fromkeys(places):
        try:
            # A store that grew since then still holds the cells that the model was trained on.
            return Store.open(place, fingerprint=model.card.provenance.get("fingerprint"))
        except FileNotFoundError:
            continue
    raise FileNotFoundError(
        f"expected the store that {path} was trained on at {written}, found nothing there; name "
        "where it is now with --store"
    )


def _same_cells(model: Model, store: Store, *, given: bool) -> None:
    where = store.path
    trained_on = model.card.provenance.get("fingerprint")
    known = set(model.split.train) | set(model.split.validation)
    if trained_on != store.fingerprint and not known <= store.conditions.keys():
        missing = sorted(known - store.conditions.keys())
        raise ValueError(
            f"{where} lacks {len(missing)} of the conditions the model was trained on, first "
            f"{missing[0]!r} ({nearest(missing[0], list(store.conditions))}); "
            "baselines need them: use the store of the run"
        )
    if trained_on != store.fingerprint and not given:
        raise ValueError(
            f"{where} changed since the model was trained: its fingerprint was "
            f"{str(trained_on)[:12]} and is {store.fingerprint[:12]}; name a store with --store "
            "to evaluate on other cells"
        )


def _evaluate(
    model: Model,
    path: Path,
    store: Store,
    *,
    cells: int | None,
    untrained: bool,
    how: Arithmetic,
    progress: OnProgress | None,
) -> Evaluation:
    card, split = model.card, model.split
    field = model.field
    test = whole_units(store, units_of(split, store, "test"))
    if not test:
        raise ValueError(
            f"none of the split's {len(split.test)} test conditions is in {store.path}, first "
            f"{split.test[0]!r}; use the store of the run"
        )
    method, settings = METHODS[card.method], settings_of(card)
    sampler = Sampler(
        method=method,
        field=field,
        settings=settings,
        blocks=card.blocks(which="evaluation"),
        batch=card.sampling.batch,
        seed=card.seed,
        products=how.products,
    )
    controls = StoreControls(store, columns_in(store, card))
    generated = [min(part.stop - part.start, cells or part.stop - part.start) for part in test]
    log.info(
        f"generating {sum(generated)} cells of {len(test)} units, {len(sampler.genes)} genes, "
        f"{method.describe(settings)} ({how})"
    )
    generate = partial(
        pseudobulks, controls=controls, cells=test, generated=generated, progress=progress
    )
    ours = generate(sampler)
    tables = {OURS if card.method == DEFAULT else card.method: score(ours)}
    if untrained:
        log.info("generating them again with untrained weights")
        tables[UNTRAINED] = score(generate(replace(sampler, field=_first_weights(model))))
    known = units_of(split, store, "train") + units_of(split, store, "validation")
    incomplete = {}
    for name, prediction in baselines(
        ours,
        store,
        test=test,
        training=whole_units(store, sorted(known)),
        columns=controls.columns[sampler.genes],
    ).items():
        units = replace(ours, predicted=prediction.mean)
        tables[name] = score(units)
        incomplete[name] = int(prediction.incomplete.sum())
    return Evaluation(
        model=str(path),
        store=str(store.path),
        fingerprint=store.fingerprint,
        split={
            "kind": split.kind,
            "seed": split.seed,
            "fold": split.fold,
            "context": split.context,
        },
        tags=split.tags,
        genes=len(sampler.genes),
        genes_of_all_cells=store.manifest.recipe.genes,
        conditions=len(set(ours.conditions)),
        cells=sum(generated),
        method=card.method,
        sampling=card.sampling.model_dump(),
        generated=method.describe(settings),
        arithmetic=how.facts(),
        tables=tables,
        incomplete=incomplete,
    )


def baselines(
    ours: Pseudobulks,
    store: Store,
    *,
    test: Sequence[Cells],
    training: Sequence[Cells],
    columns: NDArray[np.int64],
) -> dict[str, Prediction]:
    """Predict the test units by every baseline, on these columns of the store."""
    known = [store.units[part.unit] for part in training]
    asked = [store.units[part.unit] for part in test]
    contexts = tuple(unit.context for unit in known)
    return all_baselines(
        MeasuredUnits(
            contexts=contexts,
            conditions=tuple(unit.tokens for unit in known),
            control=control_means(store, contexts, columns=columns),
            mean=unit_means(store, training, columns=columns),
        ),
        Units(
            contexts=tuple(unit.context for unit in asked),
            conditions=tuple(unit.tokens for unit in asked),
            control=ours.control,
        ),
    )


def _first_weights(model: Model) -> nn.Module:
    """The network as training found it."""
    card = model.card
    network = first_weights(card, seed=card.seed, vocabulary=card.vocabulary, graph=model.graph)
    return network.to(next(model.field.parameters()).device)


def whole_units(store: Store, positions: Sequence[int]) -> list[Cells]:
    """All cells of some units."""
    return [Cells(k, store.units[k].start, store.units[k].stop) for k in positions]
