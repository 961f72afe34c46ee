"""Names of a model's files. Loads no torch."""

from pathlib import Path

CARD, WEIGHTS, GRAPH, SPLIT = "model.json", "model.safetensors", "graph.npz", "split.json"
BASE = "base.safetensors"  # of a model whose means have a base
ENSEMBLE, MEMBERS = "ensemble.json", "members"  # of a model that is several, and where these are


def is_ensemble(model: Path) -> bool:
    """Whether a model's directory holds several models, to be used as one."""
    return (model / ENSEMBLE).is_file()


def identity_file(model: Path) -> Path:
    """The file of a model whose hash says which model it is: weights, or hashes of weights."""
    return model / (ENSEMBLE if is_ensemble(model) else WEIGHTS)


def members_of(model: Path) -> list[Path]:
    """The models that an ensemble's directory holds, in order; one model is its own only one."""
    if not is_ensemble(model):
        return [model]
    found = [path for path in (model / MEMBERS).iterdir() if path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))
