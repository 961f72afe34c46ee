"""Torch's random draws, each from (seed, purpose, index) as in `scdfm.screen.randomness`."""

import torch

from scdfm.screen.randomness import derived_seed


def torch_generator(seed: int, purpose: str, *index: int) -> torch.Generator:
    """Return a fresh CPU generator for one purpose and one item."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose, *index))


def seed_torch(seed: int, purpose: str, *index: int) -> None:
    """Seed torch's global generators, which dropout and weight initialisation read."""
    torch.manual_seed(derived_seed(seed, purpose, *index))
