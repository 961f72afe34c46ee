"""Numbers as lines of progress have them: four digits."""

import math
from collections.abc import Mapping
from typing import Any


def numbers(values: Mapping[str, Any]) -> str:
    """Names and values, four digits each; a value that is undefined is null in a journal."""
    return "  ".join(f"{name} {number(value)}" for name, value in values.items())


def settings(values: Mapping[str, Any]) -> str:
    """Settings and their values; null is one that can be meant, such as no clipping."""
    return "  ".join(f"{name} {setting(value)}" for name, value in values.items())


def setting(value: Any) -> str:
    """A setting's value in four digits."""
    return "none" if value is None else number(value)


def device_hours(value: float) -> str:
    """Hours of devices, with their unit."""
    told = "under 0.0001" if 0 < value < 1e-4 else number(value)
    return f"{told} device-hours"


def number(value: Any) -> str:
    """A value in four digits."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "undefined"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
