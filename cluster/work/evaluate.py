"""Score a model, and all rows that it must beat, on the test part of its split."""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from cluster.runs.find_model import model_directory
from cluster.runs.fine_tune import warn_if_seen
from cluster.runs.plan import run_genes
from cluster.runs.precision import Arithmetic, arithmetic
from cluster.runs.whole.unfinished import warn_if_unfinished
from cluster.settings.choices import Precision
from cluster.work.evaluation.again import Wanted, cells_of, contents, name_of, told
from cluster.work.evaluation.bench import Asked, Bench
from cluster.work.evaluation.keeping import means_of
from cluster.work.evaluation.kept import Means, Sample, kept_beside, kept_of
from cluster.work.evaluation.others import open_others
from cluster.work.evaluation.part import TestPart
from cluster.work.evaluation.record import OURS, AskedFacts, Evaluation
from cluster.work.evaluation.result import record_of
from cluster.work.evaluation.rows import Judge
from cluster.work.evaluation.target import prediction_origin, require_same_cells, store_of
from cluster.work.sampler import columns_in
from data_store.store.reader import Store
from scdfm.flow.certainty.ensemble import open_model
from scdfm.flow.checkpoint import Model
from scdfm.flow.files import identity_file
from scdfm.metrics import METRICS
from scdfm.metrics.profiles import metrics_of
from scdfm.screen.progress import OnProgress
from scdfm.screen.variable_genes import GeneChoice
from scdfm.splits import Split

log = logging.getLogger(__name__)


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
    again: bool = False,
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
        keep: Keep the result beside the model, and read from there what was found before.
        again: Evaluate also what was evaluated before.
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
    device = _device(gpu=gpu)
    judged = _judged(target, store=store, split=split, predictions=predictions)
    model, path = judged.model, judged.path
    with _cells_of(judged) as store_here:
        part = _part(model, store_here, split=judged.split)
        if model is not None:
            require_same_cells(model, store_here, given=judged.store is not None)
            model.field.to(device)
        wanted = Wanted(
            AskedFacts(
                metrics=names,
                cells=cells_of(cells, profile=profile),
                seed=seed,
                repeats=repeats,
                untrained=untrained,
                split=name_of(part.split),
                device="cuda" if gpu else "cpu",
                precision=precision,
                predictions=contents(judged.predictions),
            ),
            profile,
            judged.predictions,
            store_here.fingerprint,
            genes=len(part.genes),
        )
        beside = None if path is None or not keep else kept_beside(path)
        held = None if path is None or not keep else kept_of(path)
        known = None if held is None or path is None else held.of(identity_file(path))
        if held is not None and known is not None and wanted.is_in(known) and not again:
            log.info(told(known, at=held.path))
            here = {"model": str(path), "store": str(store_here.path)}
            return wanted.part_of(known).model_copy(update=here)
        whole = wanted.joined(known)
        with arithmetic(precision, device=device) as how:
            new = _computed(judged, whole, part, cells=cells, how=how, progress=progress)
        took = round(time.monotonic() - began, 3)
        record = new.record.model_copy(update={"seconds": took})
        if beside is not None:
            # What is kept with a trial's run stays there.
            gone = None if held is None or held.path != beside.path else known
            for line in whole.leaves_out(gone, record, at=beside.path):
                log.info(line)
            beside.keep(record, new.means, new.sample)
    return wanted.part_of(record)


class _Judged(NamedTuple):
    """What is judged, and on what."""

    model: Model | None
    path: Path | None  # of the model
    store: str | None
    split: Path | None
    predictions: Mapping[str, Path]


def _judged(
    target: Path | None,
    *,
    store: str | None,
    split: Path | None,
    predictions: Mapping[str, Path] | None,
) -> _Judged:
    """The model of a run, or a prediction with the store and the split of its model."""
    files = dict(predictions or {})
    origin = None if target is None else prediction_origin(target)
    if target is not None and origin is not None:
        files = {OURS: target, **files}
        store, split, target = store or origin.store, split or origin.split, None
    path = None if target is None else model_directory(target)
    model = None if path is None else open_model(path)
    if path is not None:
        warn_if_unfinished(path)
    if model is not None and split is None:
        warn_if_seen(model.card)
    if model is None and (store is None or split is None or not files):
        raise ValueError(
            "expected a run or model, or --predictions with --store and --split; name one"
        )
    return _Judged(model, path, store, split, files)


def _cells_of(judged: _Judged) -> Store:
    if judged.model is None or judged.path is None:
        return Store.open(str(judged.store))
    return store_of(judged.model, judged.path, given=judged.store)


class _Computed(NamedTuple):
    """An evaluation with what is kept beside it."""

    record: Evaluation
    means: Means
    sample: Sample


def _computed(
    judged: _Judged,
    whole: Wanted,
    part: TestPart,
    *,
    cells: int | None,
    how: Arithmetic,
    progress: OnProgress | None,
) -> _Computed:
    """Make all rows, and score them."""
    facts = whole.facts
    asked = Asked(
        cells=cells,
        seed=facts.seed,
        repeats=facts.repeats,
        untrained=facts.untrained,
        profile=whole.profile,
    )
    others = open_others(whole.predictions, part)
    judge = _judge(part.on(others.shared(part)), facts.metrics)
    bench = Bench(judge, asked=asked, how=how, progress=progress)
    found = bench.all_rows(judged.model, others)
    record = record_of(found, bench, model=judged.model, path=judged.path, asked=facts)
    return _Computed(record, means_of(found.rows, judge.part), found.picked.sample())


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


def _judge(part: TestPart, names: tuple[str, ...]) -> Judge:
    needed = any("training" in METRICS[name].needs for name in names)
    return Judge(part, names, training=part.training_facts() if needed else None)
