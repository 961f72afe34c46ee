"""The release's tokens, and their places among ours.

Theirs: `<pad> <cls> <mask> control`, then the genes, sorted. Ours: the genes, sorted, then the null
token, which is their `control`. Their drug table has the order of a list that is not in the
checkpoint; ours has null first, then the drugs, sorted.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdfm.gene_graph.graph import GeneGraph
from scdfm.model.release.network import ReleaseField
from scdfm.model.release.weights import ReleaseWeights, mask_graph, read_tensors
from scdfm.model.vocabulary import Vocabulary
from scdfm.screen.conditions import CONTROL_WORDS

SPECIALS = ("<pad>", "<cls>", "<mask>", "control")
CONTROL_ROW = SPECIALS.index("control")


def gene_rows(genes: int) -> Tensor:
    """Rows of their gene table in our order: genes, then null, (genes + 1,)."""
    return torch.tensor([*range(len(SPECIALS), len(SPECIALS) + genes), CONTROL_ROW])


def drug_order(listed: Sequence[str]) -> tuple[tuple[str, ...], Tensor]:
    """Our drugs, and the rows of their table in our order: null, then the drugs.

    Args:
        listed: Names of the rows of their table, the control among them.

    Raises:
        ValueError: A name comes twice, or there is not exactly one control.
    """
    twice = sorted({name for name in listed if listed.count(name) > 1})
    if twice:
        raise ValueError(
            f"the list of perturbations names each row of the drug table once, got {twice[0]!r} "
            f"{listed.count(twice[0])} times; give the order of the table"
        )
    controls = [name for name in listed if name.casefold() in CONTROL_WORDS]
    if len(controls) != 1:
        raise ValueError(
            "the list of perturbations must hold the control once, as it has a row of the drug "
            f"table, got {', '.join(controls) or 'none'} among {len(listed)} names"
        )
    row = {name: position for position, name in enumerate(listed)}
    drugs = tuple(sorted(row.keys() - set(controls)))
    return drugs, torch.tensor([row[name] for name in (*controls, *drugs)])


def read_vocabulary(path: Path) -> tuple[str, ...]:
    """The genes of the release's tokenizer file, in the order of their tokens.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Not JSON that maps the four special tokens and sorted genes to 0, 1, 2, ...
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no vocabulary {path}")
    try:
        content = json.loads(path.read_text())
    except ValueError as cause:  # bytes that are no text, too
        raise ValueError(f"the vocabulary {path} must be JSON, got: {cause}") from cause
    if not isinstance(content, dict) or not all(type(row) is int for row in content.values()):
        raise ValueError(
            f"the vocabulary {path} must map token names to token ids, got another form; give a "
            "file like the release's tokenizer writes"
        )
    names = sorted(content, key=lambda name: content[name])
    genes = tuple(names[len(SPECIALS) :])
    wanted = [*SPECIALS, *sorted(genes)]
    for place, (name, expected) in enumerate(zip(names, wanted, strict=False)):
        if name != expected or content[name] != place:
            raise ValueError(
                f"the vocabulary {path} must be {', '.join(SPECIALS)}, then the genes, sorted, "
                f"with ids from 0; got {name!r} with id {content[name]} where {expected!r} "
                f"belongs, at {place}"
            )
    if not genes:
        raise ValueError(f"the vocabulary {path} must hold genes, got {len(names)} tokens")
    return genes


def read_mask(path: Path) -> NDArray[np.bool_]:
    """The release's mask, bool (tokens, tokens), True where attention is forbidden.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds no square bool tensor.
    """
    mask = read_tensors(path, what="mask")
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.ndim != 2:
        got = f"{mask.dtype}{list(mask.shape)}" if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"the mask in {path} must be a bool tensor (tokens, tokens), True where attention is "
            f"forbidden, got {got}"
        )
    if mask.shape[0] != mask.shape[1]:
        raise ValueError(f"the mask in {path} must be square, got {tuple(mask.shape)}")
    if len(mask) <= len(SPECIALS):
        raise ValueError(
            f"the mask in {path} must cover {', '.join(SPECIALS)} and genes, got {len(mask)} tokens"
        )
    forbidden: NDArray[np.bool_] = mask.numpy()
    return forbidden


def gene_graph(forbidden: NDArray[np.bool_]) -> GeneGraph:
    """The neighbours among the genes, (genes,), of a mask over all tokens.

    Our graphs hold genes; the null token sees only itself, and no gene sees it. The release builds
    its masks in the same way: special tokens see only themselves, and no gene sees them. Another
    mask is refused, because our network would differ. What the first three special tokens see does
    not matter: the release uses none of them.

    Args:
        forbidden: Bool (tokens, tokens), True where attention is forbidden.

    Raises:
        ValueError: `control` sees a gene, or a gene sees a special token or nobody.
    """
    specials = len(SPECIALS)
    seen = np.flatnonzero(~forbidden[CONTROL_ROW])
    if seen.tolist() != [CONTROL_ROW]:
        raise ValueError(
            f"the mask must let token {CONTROL_ROW}, 'control', look at itself only, got "
            f"{len(seen)} tokens it may look at; give the mask as the release saves it"
        )
    gene, special = np.nonzero(~forbidden[specials:, :specials])
    if len(gene):
        raise ValueError(
            f"the mask must let no gene look at the {specials} special tokens, got token "
            f"{specials + gene[0]} that may look at token {special[0]}; give the mask as the "
            "release saves it"
        )
    alone = np.flatnonzero(forbidden[specials:].all(axis=1))
    if len(alone):
        raise ValueError(
            f"the mask must let every gene look at least at one, got token {specials + alone[0]} "
            "that may look at none; True means forbidden"
        )
    return mask_graph(forbidden[specials:, specials:])


def named_field(
    weights: ReleaseWeights, *, vocabulary: Vocabulary, graph: GeneGraph, drugs: Tensor | None
) -> ReleaseField:
    """The network of a checkpoint with our token ids, in evaluation mode.

    Args:
        weights: Of the checkpoint; its first rows are those of the vocabulary.
        vocabulary: The genes, sorted, and the perturbations among them or in the drug table.
        graph: Neighbours of the genes.
        drugs: Rows of their drug table in our order; none for gene perturbations.

    Raises:
        ValueError: The tables have fewer rows than the names need, a tensor has another shape,
            or the graph joins every gene with every gene.
    """
    genes = len(vocabulary.genes)
    tables = [("gene", weights.gene_rows, len(SPECIALS) + genes, f"{genes} genes")]
    if drugs is not None:
        tables.append(("drug", weights.drug_rows, len(drugs), f"{len(drugs)} names"))
    for table, rows, needed, what in tables:
        if rows < needed:
            raise ValueError(
                f"{weights.path} has a {table} table of {rows} rows, and {what} need {needed}; "
                "give the names that it was trained with"
            )
    if graph.complete:
        raise ValueError(
            f"every one of the {genes} genes sees every gene, which in a model of ours means no "
            "graph at all, null token included; give a sparser mask or a smaller k"
        )
    weights = weights.keep(genes=gene_rows(genes), drugs=drugs)
    field = ReleaseField(
        weights.config,
        graph=graph,
        tokens=vocabulary.gene_tokens,
        drugs=None if drugs is None else len(drugs),
    )
    field.vocabulary = vocabulary
    weights.fill(field)
    field.eval()
    return field
