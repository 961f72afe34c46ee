"""What Ray Tune hands on of a trial's report."""

from typing import Any, TypeAlias

# Our values under their names, beside those that Ray Tune adds; its interface names no type.
Reported: TypeAlias = dict[str, Any]
