"""A small network of the release's form, and its checkpoint."""

from pathlib import Path

import torch
from torch import Tensor

from scdfm.model.paper import ModelConfig
from scdfm.model.release import ReleaseField, in_release_names, load_release, mask_graph
from tests.scdfm import small

TOKENS, GENES, LAYERS = 12, 6, 2


def mask() -> Tensor:
    """Some neighbours for genes; the four special tokens see only themselves."""
    draw = torch.Generator().manual_seed(3)
    seen = torch.rand(TOKENS, TOKENS, generator=draw) < 0.4
    seen = seen | seen.T
    seen[:4], seen[:, :4] = False, False
    return ~(seen | torch.eye(TOKENS, dtype=torch.bool))


def network(*, drugs: int | None = None) -> ReleaseField:
    torch.manual_seed(0)
    config = ModelConfig(variant="release", width=16, layers=LAYERS, heads=2)
    made = ReleaseField(config, graph=mask_graph(mask()), tokens=TOKENS, drugs=drugs)
    small.awake(made)
    return made.double().eval()


def inputs(*, cells: int = 5) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(4)
    return {
        "x_t": torch.randn(cells, GENES, generator=draw, dtype=torch.float64),
        "t": torch.rand(cells, generator=draw, dtype=torch.float64),
        "control": torch.rand(cells, GENES, generator=draw, dtype=torch.float64),
        "genes": torch.tensor([4, 9, 5, 11, 6, 8]),
    }


def checkpoint(path: Path, *, drugs: bool = False, rows: int = TOKENS) -> Path:
    """A checkpoint as the authors write it, from our own network, with tensors nobody uses."""
    made = network(drugs=7 if drugs else None).float()
    state = in_release_names(made.state_dict(), layers=LAYERS, drugs=drugs)
    spare = torch.randn(max(0, rows - TOKENS), 16)
    table = torch.cat([state["encoder.embedding.weight"], spare])[:rows]
    state |= {"encoder.embedding.weight": table, "p_mask_embed": torch.zeros(16)}
    torch.save({"iteration": 3, "model_state_dict": state, "eval_score": None}, path)
    return path


def load(path: Path, *, heads: int = 2, drugs: bool = False) -> ReleaseField:
    return load_release(path, heads=heads, forbidden=mask(), gene_perturbations=not drugs)


def distance(ours: Tensor, theirs: Tensor) -> float:
    """Relative to the norm of theirs."""
    return float((ours.detach().double() - theirs).norm() / theirs.norm())
