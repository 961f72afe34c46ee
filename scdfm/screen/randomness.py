"""Random draws that can be repeated: each comes from (seed, purpose, index).

A long-lived generator would make a draw depend on all draws before it, and a resumed run
would differ from one that was never stopped. `scdfm.flow.randomness` does the same for torch.
"""

import zlib

import numpy as np


def numpy_generator(seed: int, purpose: str, *index: int) -> np.random.Generator:
    """Return a fresh generator for one purpose and one item."""
    return np.random.default_rng((seed, zlib.crc32(purpose.encode()), *index))


def derived_seed(seed: int, purpose: str, *index: int) -> int:
    """A seed of its own for one purpose and one item, from 0 to below 2**63."""
    return int(numpy_generator(seed, purpose, *index).integers(2**63))
