"""A curve in one line of characters."""

import itertools
import math
from collections.abc import Sequence

_BARS, _PLAIN = "▁▂▃▄▅▆▇█", "_.-~=*#@"
_WIDE = 10.0  # largest over smallest value, from which a curve is drawn in logarithms


def sparkline(values: Sequence[float], *, width: int, plain: bool = False) -> str:
    """Draw values from left to right, the lowest as the lowest character.

    Args:
        values: Finite numbers; where there are more than characters, neighbours are averaged.
        width: Characters, at most.
        plain: ASCII only.
    """
    marks = _PLAIN if plain else _BARS
    points = _averaged(values, most=width)
    if not points:
        return ""
    if min(points) > 0 and max(points) / min(points) > _WIDE:
        points = [math.log(value) for value in points]
    low, high = min(points), max(points)
    span = high - low or 1.0
    return "".join(marks[min(int((value - low) / span * len(marks)), 7)] for value in points)


def _averaged(values: Sequence[float], *, most: int) -> list[float]:
    count = min(len(values), most)
    edges = [place * len(values) // count for place in range(count + 1)] if count else [0]
    pieces = itertools.pairwise(edges)
    return [sum(values[start:stop]) / (stop - start) for start, stop in pieces]
