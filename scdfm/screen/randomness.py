"""Random draws that can be repeated: each comes from (seed, purpose, index).

A long-lived generator would make a draw depend on all draws before it, and a resumed run
would differ from one that was never stopped.
"""

import zlib

import numpy as np
import torch


def numpy_generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return a fresh generator for one purpose and one item."""
    return np.random.default_rng((seed, zlib.crc32(purpose.encode()), *index))


def torch_generator(seed: int, purpose: str, *index: int) -> torch.Generator:
    """Return a fresh CPU generator for one purpose and one item."""
    return torch.Generator().manual_seed(_draw(seed, purpose, *index))


def seed_torch(seed: int, purpose: str, *index: int) -> None:
    """Seed torch's global generators, which dropout and weight initialisation read."""
    torch.manual_seed(_draw(seed, purpose, *index))


def _draw(seed: int, purpose: str, *index: int) -> int:
    return int(numpy_generator(seed, purpose, *index).integers(2**63))
