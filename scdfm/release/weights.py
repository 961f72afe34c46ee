"""Loading the authors' checkpoints into a `ReleaseField`.

Their layout is a dictionary whose `model_state_dict` holds the weights. Nothing but tensors and
plain values is ever unpickled.
"""

import pickle
import re
import struct
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdfm.field import ModelConfig
from scdfm.gene_graph import GeneGraph
from scdfm.release.names import DRUGS, GENES, correspondence
from scdfm.release.network import ReleaseField

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


def load_release(
    path: Path | str,
    *,
    heads: int,
    forbidden: Tensor | NDArray[np.bool_],
    gene_perturbations: bool,
) -> ReleaseField:
    """Read a checkpoint of the authors' code, in evaluation mode.

    Args:
        path: Their `checkpoint.pt`.
        heads: Attention heads of the blocks.
        forbidden: Who may not look at whom in the gene encoder, bool (tokens, tokens); rows and
            columns are token ids. The first `tokens` rows of the embeddings are used.
        gene_perturbations: Whether perturbations are genes, which share the gene encoder, or
            drugs, with a table of their own.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It holds more or less than these weights, or they do not fit the arguments.
    """
    path = Path(path)
    state = _read(path)
    graph = mask_graph(forbidden)
    layers = 1 + max((int(m[1]) for m in map(BLOCK.match, state) if m), default=-1)
    pairs = correspondence(layers=max(1, layers), drugs=not gene_perturbations)
    _check_names(state, {theirs.name for theirs, _ in pairs}, path=path)
    width = _width(state, heads=heads, path=path)
    if len(state[GENES]) < graph.tokens:
        raise ValueError(
            f"the mask is about {graph.tokens} tokens, but {path} has embeddings of only "
            f"{len(state[GENES])}; give the mask it was trained with"
        )
    state[GENES] = state[GENES][: graph.tokens]
    field = ReleaseField(
        ModelConfig(variant="release", width=width, layers=layers, heads=heads),
        graph=graph,
        tokens=graph.tokens,
        drugs=None if gene_perturbations else len(state[DRUGS]),
    )
    ours = field.state_dict()
    for theirs, place in pairs:
        source, target = theirs.of(state), place.of(ours)
        if source.shape != target.shape:
            raise ValueError(
                f"{theirs.name} in {path} has shape {tuple(state[theirs.name].shape)}, which is "
                f"not that of a network {width} wide; give a checkpoint of one whole network"
            )
        target.copy_(source)
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
            f"forbidden must let every token look at one at least, but token {degrees.argmin()} "
            "may look at none; True means forbidden"
        )
    return GeneGraph(indptr=np.concatenate([[0], degrees.cumsum()]), indices=column)


def _read(path: Path) -> dict[str, Tensor]:
    """The weights by name."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except DAMAGED as error:
        raise ValueError(
            f"expected a checkpoint of weights, saved by torch.save, in {path}, got a file that "
            f"does not load as one ({type(error).__name__}); other objects than weights are not loaded"
        ) from error
    state = content.get(STATE) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not state:
        held = ", ".join(map(repr, list(content)[:SHOWN])) if isinstance(content, dict) else ""
        raise ValueError(
            f"expected {STATE!r} with weights in {path}, got {held or type(content).__name__}; "
            "give a checkpoint as the release saves it"
        )
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
            raise ValueError(
                f"expected only weights under {STATE!r} in {path}, got "
                f"{type(tensor).__name__} for {name!r}"
            )
    return dict(state)


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


def _width(state: Mapping[str, Tensor], *, heads: int, path: Path) -> int:
    """Features of a token, checked against the heads that were asked for."""
    width, features = state[GENES].shape[-1], state[LAMBDA].numel()
    if heads * features != width:
        raise ValueError(
            f"{path} is {width} wide and has {width // max(1, features)} heads of {features} "
            f"features, got heads={heads}"
        )
    return width
