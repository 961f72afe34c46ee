"""Files as the authors' code writes them, of a small network with weights of our own."""

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from scdfm.model.paper import ModelConfig
from scdfm.model.release import ReleaseField, in_release_names, mask_graph
from scdfm.model.release.tokens import SPECIALS
from tests.scdfm import small

LAYERS = 1


def mask(tokens: int) -> Tensor:
    """Some neighbours for genes; the four special tokens see only themselves."""
    draw = torch.Generator().manual_seed(3)
    seen = torch.rand(tokens, tokens, generator=draw) < 0.2
    seen = seen | seen.T
    seen[:4], seen[:, :4] = False, False
    return ~(seen | torch.eye(tokens, dtype=torch.bool))


def write_checkpoint(path: Path, *, tokens: int, drugs: int | None = None) -> Path:
    """A checkpoint whose tables have three rows more than there are names."""
    torch.manual_seed(0)
    config = ModelConfig(variant="release", width=16, layers=LAYERS, heads=2)
    rows = None if drugs is None else drugs + 3
    made = ReleaseField(config, graph=mask_graph(mask(tokens + 3)), tokens=tokens + 3, drugs=rows)
    small.awake(made)
    state = in_release_names(made.state_dict(), layers=LAYERS, drugs=drugs is not None)
    # The release has a drug table, if an unused one, in a network of genes, too.
    state.setdefault("perturbation_embedder.embedding.weight", torch.zeros(tokens + 3, 16))
    torch.save({"iteration": 7, "model_state_dict": state, "eval_score": None}, path)
    return path


def write_mask(path: Path, *, tokens: int) -> Path:
    torch.save(mask(tokens), path)
    return path


def write_vocabulary(path: Path, genes: Sequence[str]) -> Path:
    names = [*SPECIALS, *sorted(genes)]
    path.write_text(json.dumps({name: row for row, name in enumerate(names)}, indent=2))
    return path
