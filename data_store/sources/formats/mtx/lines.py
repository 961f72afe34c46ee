"""Lines of a Matrix Market file to numbers, compiled: imported at the first line that is parsed.

numpy and pyarrow take four times as long, which is as long as all the rest of an ingest.
"""

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

_DIGITS = 9  # of a whole number, at most: it fits in 32 bits
_SCALE = 22  # powers of ten up to here are exact in float64
_TENTH = 2**53 // 10  # ten times as much is still a whole number that float64 holds exactly
_POWERS = 10.0 ** np.arange(_SCALE + 1)
_ZERO = np.uint8(48)  # unsigned: what comes before it is a digit above 9
_POINT, _TAB, _SPACE, _LINE, _RETURN = 46, 9, 32, 10, 13


def _whole(text: NDArray[np.uint8], place: int) -> tuple[Any, int]:
    """A whole number and the place after it; the place is -1 if there is none, or a long one."""
    number: Any = 0
    start = place
    digit = text[place] - _ZERO
    while digit <= 9:
        number = number * 10 + np.int64(digit)  # a sum with unsigned numbers would be float
        place += 1
        digit = text[place] - _ZERO
    return number, place if 0 < place - start <= _DIGITS else -1


def _fraction(text: NDArray[np.uint8], number: Any, place: int) -> tuple[float, int]:
    """The number with the digits from this place on as its fraction, and the place after them.

    It is exact: a whole number below 2**53 over a power of ten up to 22. The place is -1 if it
    would not be.
    """
    scale, zeros = 0, 0
    digit = text[place] - _ZERO
    while digit <= 9:
        zeros += 1
        if digit > 0:  # zeros at the end change nothing
            if scale + zeros > _SCALE:
                return 0.0, -1
            for _ in range(zeros):
                if number >= _TENTH:
                    return 0.0, -1
                number *= 10
            number += np.int64(digit)
            scale, zeros = scale + zeros, 0
        place += 1
        digit = text[place] - _ZERO
    return number / _POWERS[scale], place


whole = numba.njit(nogil=True, inline="always")(_whole)  # three times as fast
fraction = numba.njit(nogil=True)(_fraction)


def _entry(
    text: NDArray[np.uint8],
    place: int,
    count: int,
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    values: NDArray[Any],
    real: bool,
) -> int:
    """Fill in the entry that begins at a place; the place after it, -1 if it is unusual."""
    row, place = whole(text, place)
    if place < 0 or (text[place] != _SPACE and text[place] != _TAB):
        return -1
    column, place = whole(text, place + 1)
    if place < 0 or (text[place] != _SPACE and text[place] != _TAB):
        return -1
    value, place = whole(text, place + 1)
    if place < 0:
        return -1
    rows[count], columns[count], values[count] = row - 1, column - 1, value
    if text[place] == _POINT and real:
        values[count], place = fraction(text, value, place + 1)
    return place


entry = numba.njit(nogil=True, inline="always")(_entry)


def _parse(
    text: NDArray[np.uint8],
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    values: NDArray[Any],
    real: bool,
) -> int:
    """Fill in rows, columns and values; how many lines there are, -1 if one is unusual.

    Args:
        text: Whole lines, the last one's end included.
        rows: (lines,), counted from 0.
        columns: (lines,), counted from 0.
        values: (lines,), whole numbers or float64.
        real: Whether values may be fractions.
    """
    place, count, size = 0, 0, len(text)
    while place < size:
        if text[place] == _LINE or text[place] == _RETURN:  # an empty line, or the end of one
            place += 1
            continue
        place = entry(text, place, count, rows, columns, values, real)
        if place < 0 or (text[place] != _LINE and text[place] != _RETURN):
            return -1
        count += 1
    return count


parse = numba.njit(nogil=True)(_parse)
