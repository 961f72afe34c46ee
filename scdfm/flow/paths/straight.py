"""Probability paths: where a cell is at time t, and how fast it should move.

Expression is log1p(counts per 10k). Time runs from 0 (source) to 1 (perturbed).

`scdfm.flow.sources` says where a path starts.
"""

from typing import NamedTuple

from torch import Tensor


class PathPoint(NamedTuple):
    """A point on the path and the velocity the model must learn there."""

    x: Tensor  # (cells, genes)
    velocity: Tensor  # (cells, genes), per unit time


def straight_path(source: Tensor, target: Tensor, t: Tensor) -> PathPoint:
    """Move each source cell along a straight line to its target.

    Args:
        source: Expression at time 0, (cells, genes).
        target: Expression at time 1, (cells, genes), paired row by row with source.
        t: One time per cell in [0, 1], (cells,).

    Raises:
        ValueError: source and target are not paired.

    Source: scDFM (Yu et al. 2026), section 3.1.
    """
    if source.shape != target.shape:
        raise ValueError(
            f"source and target must pair row by row, got shapes "
            f"{tuple(source.shape)} and {tuple(target.shape)}"
        )
    t = t[:, None]
    return PathPoint(x=(1 - t) * source + t * target, velocity=target - source)


def end_point(x_t: Tensor, velocity: Tensor, t: Tensor) -> Tensor:
    """Where a cell ends if it keeps its velocity: x_t + (1 - t) v, (cells, genes).

    Source: scDFM, section 3.2.
    """
    return x_t + (1 - t[:, None]) * velocity
