"""Which runs: search space, study, leaderboard.

A sweep file is read, and refused, without Ray and Optuna, which take seconds to load.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from sweeps.schema.files import read_sweep, shipped_sweeps
from sweeps.schema.sweep import SweepConfig

if TYPE_CHECKING:
    from sweeps.results import Row, SweepResult
    from sweeps.running import SweepFailedError
    from sweeps.study import tune

__all__ = [
    "Row",
    "SweepConfig",
    "SweepFailedError",
    "SweepResult",
    "read_sweep",
    "shipped_sweeps",
    "tune",
]

_LATER = {
    "Row": "sweeps.results",
    "SweepResult": "sweeps.results",
    "SweepFailedError": "sweeps.running",
    "tune": "sweeps.study",
}


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'sweeps' has no attribute {name!r}")
    return getattr(import_module(_LATER[name]), name)
