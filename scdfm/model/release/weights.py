"""Loading the authors' checkpoints into a `ReleaseField`.

Their layout is a dictionary whose `model_state_dict` holds the weights. Nothing but tensors and
plain values is ever unpickled.
"""

import pickle
import re
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdfm.gene_graph.graph import GeneGraph
from scdfm.model.config import ModelConfig
from scdfm.model.release.names import DRUGS, GENES, correspondence
from scdfm.model.release.network import ReleaseField

STATE = "model_state_dict"
BLOCK = re.compile(r"blocks\.(\d+)\.")
LAMBDA = "blocks.0.diff_self_attn.attn.lambda_q1"  # one number for each feature of a head
UNUSED = ("p_head.", "p_mask_embed", "perturbation_embedder.")  # by the velocity
SHOWN = 3  # names in a message

# What torch's reader raises on files that are no archive, are damaged, or hold other objects.
DAMAGED = (
    pickle.UnpicklingError,
    RuntimeError,
    EOFError,
    OSError,
    AssertionError,
    AttributeError,
    struct.error,
    LookupError,
    OverflowError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class ReleaseWeights:
    """The tensors of a checkpoint, by the authors' names, and the size they tell.

    Attributes:
        path: Where they come from.
        state: Every tensor the velocity needs; some that it does not.
        config: The network they belong to.
        drugs: Whether perturbations have a table of their own.
        iteration: Training steps, if the checkpoint says so.
    """

    path: Path
    state: Mapping[str, Tensor]
    config: ModelConfig
    drugs: bool
    iteration: int | None

    @property
    def gene_rows(self) -> int:
        """Rows of the gene table; the release writes 6,000 whatever its vocabulary."""
        return len(self.state[GENES])

    @property
    def drug_rows(self) -> int:
        """Rows of the drug table, likewise."""
        return len(self.state[DRUGS])

    def keep(self, *, genes: Tensor | slice, drugs: Tensor | slice | None) -> Self:
        """The same weights with only some rows of the tables, in the order given."""
        tables = {GENES: self.state[GENES][genes]}
        if drugs is not None:
            tables[DRUGS] = self.state[DRUGS][drugs]
        return replace(self, state={**self.state, **tables})

    def fill(self, field: ReleaseField) -> None:
        """Copy them into a field of this size.

        Raises:
            ValueError: A tensor has another shape than the field's.
        """
        ours = field.state_dict()
        for theirs, place in correspondence(layers=self.config.layers, drugs=self.drugs):
            source, target = theirs.of(self.state), place.of(ours)
            if source.shape != target.shape:
                raise ValueError(
                    f"{theirs.name} in {self.path} has shape "
                    f"{tuple(self.state[theirs.name].shape)}, which is not that of a network "
                    f"{self.config.width} wide; give a checkpoint of one whole network"
                )
            target.copy_(source)


def read_release(
    path: Path | str, *, heads: int | None, gene_perturbations: bool
) -> ReleaseWeights:
    """Read a checkpoint of the authors' code.

    Args:
        path: Their `checkpoint.pt`.
        heads: Attention heads of the blocks; none: as the weights have it.
        gene_perturbations: Whether perturbations are genes, which share the gene encoder, or
            drugs, with a table of their own.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds more or less than these weights, or other heads.
    """
    path = Path(path)
    state, iteration = _read(path)
    layers = 1 + max((int(m[1]) for m in map(BLOCK.match, state) if m), default=-1)
    pairs = correspondence(layers=max(1, layers), drugs=not gene_perturbations)
    _check_names(state, {theirs.name for theirs, _ in pairs}, path=path)
    width, heads = _size(state, heads=heads, path=path)
    return ReleaseWeights(
        path=path,
        state=state,
        config=ModelConfig(variant="release", width=width, layers=layers, heads=heads),
        drugs=not gene_perturbations,
        iteration=iteration,
    )


def load_release(
    path: Path | str,
    *,
    heads: int,
    forbidden: Tensor | NDArray[np.bool_],
    gene_perturbations: bool,
) -> ReleaseField:
    """Read a checkpoint of the authors' code as a network of their token ids, in evaluation mode.

    Args:
        path: Their `checkpoint.pt`.
        heads: Attention heads of the blocks.
        forbidden: Where attention is forbidden in the gene encoder, bool (tokens, tokens); rows and
            columns are token ids. The first `tokens` rows of the embeddings are used.
        gene_perturbations: Whether perturbations are genes, which share the gene encoder, or
            drugs, with a table of their own.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds more or less than these weights, or they do not fit the arguments.
    """
    weights = read_release(path, heads=heads, gene_perturbations=gene_perturbations)
    graph = mask_graph(forbidden)
    if weights.gene_rows < graph.tokens:
        raise ValueError(
            f"the mask covers {graph.tokens} tokens, but {path} has embeddings of only "
            f"{weights.gene_rows}; give the mask it was trained with"
        )
    weights = weights.keep(genes=slice(graph.tokens), drugs=None)
    field = ReleaseField(
        weights.config,
        graph=graph,
        tokens=graph.tokens,
        drugs=weights.drug_rows if weights.drugs else None,
    )
    weights.fill(field)
    return field.eval()


def mask_graph(forbidden: Tensor | NDArray[np.bool_]) -> GeneGraph:
    """Turn a mask, bool (tokens, tokens), True where attention is forbidden, into neighbours.

    Raises:
        ValueError: Not a square bool mask, or a token may look at none.
    """
    mask = np.asarray(forbidden)
    if mask.ndim != 2 or mask.shape[0] != mask.shape[1] or mask.dtype != np.bool_:
        raise ValueError(
            f"forbidden must be a bool mask of shape (tokens, tokens), got {mask.dtype} of shape "
            f"{mask.shape}"
        )
    row, column = np.nonzero(~mask)
    degrees = np.bincount(row, minlength=len(mask))
    if not degrees.all():
        raise ValueError(
            f"forbidden must let every token look at least at one, but token {degrees.argmin()} "
            "may look at none; True means forbidden"
        )
    return GeneGraph(indptr=np.concatenate([[0], degrees.cumsum()]), indices=column)


def read_tensors(path: Path, *, what: str) -> Any:
    """Read what torch.save wrote, if it is made of tensors and plain values only.

    Args:
        path: The file.
        what: It should be, for an error.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A directory, an empty or damaged file, or one with other objects.
    """
    if path.is_dir():
        raise ValueError(f"expected a {what}, got the directory {path}; name the file in it")
    if not path.is_file():
        raise FileNotFoundError(f"there is no {what} {path}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGED as error:
        held = "a file that does not load as one" if path.stat().st_size else "an empty file"
        raise ValueError(
            f"expected a {what}, saved by torch.save, in {path}, got {held} "
            f"({type(error).__name__}); other objects than weights are not loaded"
        ) from error


def _read(path: Path) -> tuple[dict[str, Tensor], int | None]:
    """The weights by name, and the steps they were trained for."""
    content = read_tensors(path, what="checkpoint of weights")
    state = content.get(STATE) if isinstance(content, dict) else None
    if isinstance(state, dict) and not state:
        raise ValueError(f"expected weights under {STATE!r} in {path}, got none")
    if not isinstance(state, dict):
        held = ", ".join(map(repr, list(content)[:SHOWN])) if isinstance(content, dict) else ""
        raise ValueError(
            f"expected {STATE!r} with weights in {path}, got {held or type(content).__name__}; "
            "give a checkpoint as the release saves it"
        )
    for name, tensor in state.items():
        if not isinstance(name, str) or not _is_weight(tensor):
            raise ValueError(
                f"expected only weights by name under {STATE!r} in {path}, got "
                f"{type(tensor).__name__} for {name!r}"
            )
        if not tensor.isfinite().all():
            raise ValueError(
                f"expected finite weights in {path}, got NaN or infinity in {name}; its training "
                "went wrong: give an earlier checkpoint"
            )
    steps = content.get("iteration")
    return dict(state), steps if isinstance(steps, int) else None


def _is_weight(tensor: object) -> bool:
    if not isinstance(tensor, Tensor):
        return False
    return tensor.layout == torch.strided and tensor.is_floating_point()


def _check_names(state: Mapping[str, Tensor], wanted: Collection[str], *, path: Path) -> None:
    missing = sorted(wanted - state.keys())
    extra = sorted(name for name in state if name not in wanted and not name.startswith(UNUSED))
    for what, names in (("lacks", missing), ("has unknown", extra)):
        if names:
            raise ValueError(
                f"{path} {what} {len(names)} tensors of the release's network, first "
                f"{', '.join(names[:SHOWN])}; expected the differential_perceiver form with the "
                "gene graph"
            )


def _size(state: Mapping[str, Tensor], *, heads: int | None, path: Path) -> tuple[int, int]:
    """Width and heads of the network, checked against the heads that were asked for."""
    table, features = state[GENES], state[LAMBDA].numel()
    if table.ndim != 2 or not features or table.shape[-1] % features:
        raise ValueError(
            f"{path} has gene embeddings of shape {tuple(table.shape)} and heads of {features} "
            "features; give a checkpoint of one whole network"
        )
    width = table.shape[-1]
    if heads is not None and heads * features != width:
        raise ValueError(
            f"{path} is {width} wide and has {width // features} heads of {features} "
            f"features, got heads={heads}"
        )
    return width, width // features
