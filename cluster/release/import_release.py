"""Make a model from a checkpoint that the authors' code has trained.

The checkpoint holds weights only. Its genes, its graph, the order of its drugs and its test
conditions come from a store, from the release's other files, and from what the release does.
"""

import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from cluster.release.choices import (
    evaluation_columns,
    find_genes,
    keep_predictable,
    name_perturbations,
    rebuild_graph,
)
from cluster.release.request import ImportRequest
from cluster.runs.plan import Plan, contexts_of, run_split, training_cells
from cluster.runs.provenance import provenance
from cluster.settings.config import RunConfig
from cluster.work.build import make_card
from data_store.batch_config import BatchConfig
from data_store.store.reader import Store
from scdfm.flow.checkpoint import Model, save_model
from scdfm.flow.files import CARD
from scdfm.flow.provenance import FileFacts, Provenance, RebuiltGraph, ReleaseFacts
from scdfm.model.config import ModelConfig
from scdfm.model.release import read_release
from scdfm.model.release.tokens import drug_order, gene_graph, named_field, read_mask
from scdfm.model.vocabulary import Vocabulary
from scdfm.screen.atomic import sha256
from scdfm.screen.variable_genes import ChosenGenes
from scdfm.splits import Split, SplitConfig

log = logging.getLogger(__name__)

NAME = "import-release"  # in place of a run's name
K = 15  # the release's default


class Imported(NamedTuple):
    """What was imported, ready for JSON."""

    model: Path
    width: int
    heads: int
    layers: int
    genes: int
    perturbations: int
    graph_edges: int
    test: int  # conditions that `evaluate` will score


class Drugs(NamedTuple):
    """What the list of perturbations says."""

    names: tuple[str, ...]  # sorted, without the control
    rows: Tensor  # of the release's table: null, then the names


def import_release(request: ImportRequest) -> Imported:
    """Write a model directory that `evaluate` and `predict` accept.

    Args:
        request: What to import.

    Raises:
        FileNotFoundError: No such checkpoint, mask, vocabulary, split or store.
        FileExistsError: Something stands at `request.model`.
        ValueError: Checkpoint, mask, names and store do not fit together.
    """
    _check_place(request)
    _check_options(request)
    with Store.open(request.store) as store:
        drugs = _drugs(request, store)
        weights = read_release(
            request.checkpoint, heads=request.heads, gene_perturbations=drugs is None
        )
        if drugs is not None and weights.drug_rows > len(drugs.rows):
            log.info(
                f"--perturbations names {len(drugs.rows)} rows and the drug table has "
                f"{weights.drug_rows}: its first {len(drugs.rows)} are used"
            )
        forbidden = None if request.mask is None else read_mask(request.mask)
        genes = find_genes(
            store,
            file=request.vocabulary,
            forbidden=forbidden,
            rows=weights.gene_rows,
        )
        names = name_perturbations(store, genes, drugs=drugs.names if drugs else None)
        run = _run(request, store, config=weights.config, genes=len(genes))
        plan = _plan(request, run, store, names=names, forbidden=forbidden)
        field = named_field(
            weights, vocabulary=names, graph=plan.graph, drugs=drugs.rows if drugs else None
        )
        here = provenance(store, run=run.name, address=run.store)
        facts = Provenance(
            **here.plain(),
            step=weights.iteration,
            release=_origin(request, rebuilt=forbidden is None),
        )
        # It was trained elsewhere; by its split, on these.
        trained = contexts_of(training_cells(plan.split, store), store)
        card = make_card(run, plan, facts=facts, trained=trained)
        save_model(Model(field, card=card, graph=plan.graph, split=plan.split), request.model)
    return Imported(
        model=request.model,
        width=run.model.width,
        heads=run.model.head_count,
        layers=run.model.layers,
        genes=len(genes),
        perturbations=len(names.perturbations),
        graph_edges=len(plan.graph.indices),
        test=len(plan.split.test),
    )


def _check_place(request: ImportRequest) -> None:
    path = request.model
    above = next(parent for parent in path.absolute().parents if parent.exists())
    if not above.is_dir():
        raise NotADirectoryError(f"expected a directory {above} for {path}, got a file")
    if path.exists() and not request.overwrite:
        raise FileExistsError(f"{path} exists already; choose another name or pass --overwrite")
    if path.is_file() or (path.is_dir() and any(path.iterdir()) and not (path / CARD).is_file()):
        raise FileExistsError(
            f"expected a model at {path} to overwrite, got something else; name another place or "
            "remove it yourself"
        )


def _check_options(request: ImportRequest) -> None:
    """Refuse options that would have no effect."""
    if request.mask is not None and (request.k is not None or request.negative_edges):
        raise ValueError(
            "--k and --negative-edges belong to a graph that is rebuilt, got --mask, too; leave "
            "out one or the other"
        )
    if request.split is not None and (request.kind is not None or request.fold is not None):
        raise ValueError("expected either --split or --kind with --fold, got both; leave out one")


def _drugs(request: ImportRequest, store: Store) -> Drugs | None:
    """The rows of the drug table; none for gene perturbations."""
    listed = request.perturbations
    if store.perturbation == "gene" and listed is not None:
        raise ValueError(
            f"--perturbations gives the order of a drug table, and {store.path} holds gene "
            "perturbations; leave it out, or use a store of drug perturbations"
        )
    if store.perturbation == "drug" and listed is None:
        raise ValueError(
            f"{store.path} holds drug perturbations, so --perturbations must name the rows of the "
            "drug table in their order, control included; the release sorts them"
        )
    return None if listed is None else Drugs(*drug_order(listed))


def _run(request: ImportRequest, store: Store, *, config: ModelConfig, genes: int) -> RunConfig:
    """The run that would have trained this model here, as far as its card needs one."""
    return RunConfig(
        store=request.store,
        name=NAME,
        split=_split_config(request, store),
        model=config,
        source="noise",
        batch=BatchConfig(genes=min(BatchConfig().genes, genes)),
    )


def _split_config(request: ImportRequest, store: Store) -> SplitConfig:
    """The release's default: fold 0 of the additive split, or its one split of ComboSciPlex."""
    if request.split is not None:
        return SplitConfig(kind="file", path=request.split)
    kind = request.kind or ("additive" if store.perturbation == "gene" else "combosciplex")
    if kind == "combosciplex" and request.fold is not None:
        raise ValueError(
            f"--fold belongs to --kind additive, got --fold {request.fold} with kind combosciplex, "
            "which the release splits in one way; leave it out"
        )
    return SplitConfig(kind=kind, fold=request.fold or 0)


def _split(run: RunConfig, store: Store) -> Split:
    """The split, or how to give another one."""
    try:
        return run_split(run.split, store)
    except ValueError as error:
        if run.split.kind == "file":
            raise
        raise ValueError(
            f"{error}: write one with scdfm split --out FILE.json and give it as --split FILE.json"
        ) from error


def _plan(
    request: ImportRequest,
    run: RunConfig,
    store: Store,
    *,
    names: Vocabulary,
    forbidden: NDArray[np.bool_] | None,
) -> Plan:
    """What a run would have decided about its data, without cells: nothing is trained."""
    column = {gene: position for position, gene in enumerate(store.genes)}
    columns = np.array([column[gene] for gene in names.genes], dtype=np.int64)
    split = _split(run, store)
    tested = keep_predictable(split, store, names=names)  # before the long work
    if forbidden is not None:
        graph = gene_graph(forbidden)
    else:
        graph = rebuild_graph(
            store,
            split=split,
            columns=columns,
            k=request.k or K,
            negative=request.negative_edges,
        )
    return Plan(
        split=tested,
        genes=ChosenGenes(columns, evaluation_columns(store, split=split, columns=columns)),
        graph=graph,
        vocabulary=names,
        words=store.words,
        training=(),
        validation=(),
    )


def _origin(request: ImportRequest, *, rebuilt: bool) -> ReleaseFacts:
    """Facts about the files that were read, to keep with the model."""
    files = ReleaseFacts(
        checkpoint=_file(request.checkpoint),
        mask=None if request.mask is None else _file(request.mask),
        vocabulary=None if request.vocabulary is None else _file(request.vocabulary),
    )
    if not rebuilt:
        return files
    graph = RebuiltGraph(k=request.k or K, negative_edges=request.negative_edges)
    return files.model_copy(update={"graph": graph})


def _file(path: Path) -> FileFacts:
    return FileFacts(path=str(path), sha256=sha256(path))
