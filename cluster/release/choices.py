"""What a store says about an imported network: genes, perturbations, graph, test conditions.

Each choice that the release's files leave open is logged in one line.
"""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cluster.runs.plan import known_units
from data_store.store.reader import Store
from data_store.store.units import Unit
from scdfm.gene_graph.graph import GeneGraph
from scdfm.model.release.graph import release_graph
from scdfm.model.release.tokens import SPECIALS, read_vocabulary
from scdfm.model.vocabulary import Vocabulary
from scdfm.screen.names import nearest
from scdfm.screen.variable_genes import GeneChoice, choose_genes
from scdfm.splits import Split

ROWS = 2048  # cells read at once for the graph
SHOWN = 3  # names in a message

log = logging.getLogger(__name__)


def find_genes(
    store: Store,
    *,
    file: Path | None,
    forbidden: NDArray[np.bool_] | None,
    rows: int,
) -> tuple[str, ...]:
    """The genes of a network, sorted: those of the release's tokenizer file, or the store's.

    Args:
        store: Has to hold them.
        file: The tokenizer's; none: all genes of the store.
        forbidden: The mask, bool (tokens, tokens), where there is one.
        rows: Of the checkpoint's gene table.

    Raises:
        FileNotFoundError: No such tokenizer file.
        ValueError: Their number is not that of the mask or above that of the rows, or the store
            lacks some.
    """
    genes = tuple(sorted(store.genes))
    source = f"{store.path} has {len(genes)} genes"
    if file is not None:
        genes = read_vocabulary(file)
        source = f"{file} has {len(genes)} genes"
        missing = sorted(set(genes) - set(store.genes))
        if missing:
            raise ValueError(
                f"{len(missing)} of the {len(genes)} genes in {file} are not in "
                f"{store.path}, first {missing[0]!r} ({nearest(missing[0], store.genes)}); ingest "
                "a file that measures them"
            )
    tokens = len(SPECIALS) + len(genes)
    needed = f"{source}, which make {tokens} tokens with the {len(SPECIALS)} special ones"
    if forbidden is not None and tokens != len(forbidden):
        raise ValueError(
            f"{needed}, and the mask has {len(forbidden)}; name the genes of the mask with "
            "--vocabulary VOCAB.json"
        )
    if tokens > rows:
        raise ValueError(
            f"{needed}, and the checkpoint's gene table has {rows} rows; name the genes "
            "it was trained on with --vocabulary VOCAB.json"
        )
    if file is None and forbidden is None:
        log.info(
            f"no --vocabulary, no --mask: the {len(genes)} genes of {store.path}, sorted, are "
            f"taken for those of the checkpoint, whose table has {rows} rows and no names"
        )
    return genes


def name_perturbations(
    store: Store, genes: tuple[str, ...], *, drugs: tuple[str, ...] | None
) -> Vocabulary:
    """Names of the genes, and of the perturbations that the checkpoint has rows for.

    Args:
        store: Whose perturbations are asked for.
        genes: Of the network.
        drugs: Of its drug table, sorted; none: perturbations are genes.

    Raises:
        ValueError: None of them has.
    """
    applied = sorted({token for tokens in store.conditions.values() for token in tokens})
    known = set(genes if drugs is None else drugs)
    lost = [token for token in applied if token not in known]
    whose = f"the model's {len(genes)} genes" if drugs is None else "the names of --perturbations"
    if len(lost) == len(applied):
        raise ValueError(
            f"none of the {len(applied)} perturbations in {store.path} is among {whose}, first "
            f"{lost[0]!r} ({nearest(lost[0], known)}); use a store with the names it was trained on"
        )
    if lost:
        log.info(
            f"{len(lost)} of the store's {len(applied)} perturbations are not among {whose} and "
            f"cannot be predicted, first {', '.join(lost[:SHOWN])}"
        )
    return Vocabulary(
        genes=genes,
        perturbations=drugs or tuple(name for name in applied if name in known),
        kind=store.perturbation,
    )


def rebuild_graph(
    store: Store,
    *,
    split: Split,
    columns: NDArray[np.int64],
    k: int,
    negative: bool,
) -> GeneGraph:
    """The graph that the release would have built on the cells outside the test part.

    Its training part is all that is not tested, controls included.
    """
    units = [store.units[position] for position in known_units(split, store)]
    edges = "either sign" if negative else "positive, or negative if mutual"
    log.info(
        f"no --mask: the gene graph is rebuilt as the release builds it, from the "
        f"{sum(map(len, units))} cells outside the test part of split {named(split)}, logged a "
        f"second time; k {k}, edges {edges}"
    )
    return release_graph(
        _blocks(store, units, columns=columns),
        genes=len(columns),
        k=k,
        negative=negative,
    )


def _blocks(
    store: Store, units: Sequence[Unit], *, columns: NDArray[np.int64]
) -> Iterator[NDArray[np.float32]]:
    for unit in units:
        for start in range(unit.start, unit.stop, ROWS):
            yield store.expression(start, min(start + ROWS, unit.stop), genes=columns)


def evaluation_columns(
    store: Store, *, split: Split, columns: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Columns of the genes to score: the most variable outside the test part, as in a run."""
    known, moments = known_units(split, store), store.moments
    chosen = choose_genes(
        GeneChoice(model=len(columns)),
        cells=int(moments.cells[known].sum()),
        linear_total=moments.sum_of("linear_total", known)[columns],
        linear_squares=moments.sum_of("linear_squares", known)[columns],
        nonzero=moments.nonzero_of(known)[columns],
        perturbed=np.array([], dtype=np.int64),
    )
    evaluation: NDArray[np.int64] = columns[chosen.evaluation]
    return evaluation


def keep_predictable(split: Split, store: Store, *, names: Vocabulary) -> Split:
    """The split without test conditions that the model has no token for.

    Raises:
        ValueError: None would be left.
    """
    known = set(names.perturbations)
    kept = [name for name in split.test if known.issuperset(store.conditions.get(name, ()))]
    lost = sorted(set(split.test) - set(kept))
    if not kept:
        raise ValueError(
            f"none of the {len(split.test)} test conditions of split {named(split)} can be "
            f"predicted by this model, first {lost[0]!r}; give another split with "
            "--split FILE.json (scdfm split --kind list --test ... --out FILE.json)"
        )
    if lost:
        log.info(
            f"{len(lost)} of the {len(split.test)} test conditions cannot be predicted and are "
            f"left out of the split, first {', '.join(lost[:SHOWN])}"
        )
    log.info(
        f"evaluate scores the {len(kept)} test conditions of split {named(split)}: make "
        "sure that the checkpoint was not trained on them"
    )
    tags = {name: tag for name, tag in split.tags.items() if name in kept}
    return split.model_copy(update={"test": tuple(kept), "tags": tags})


def named(split: Split) -> str:
    """A split in a sentence."""
    return f"{split.kind}, fold {split.fold}" if split.kind == "additive" else split.kind
