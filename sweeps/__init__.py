"""Which runs: search space, study, leaderboard."""

from sweeps.files import read_sweep, shipped_sweeps
from sweeps.results import Row, SweepResult
from sweeps.schema import SweepConfig
from sweeps.study import SweepFailedError, tune

__all__ = [
    "Row",
    "SweepConfig",
    "SweepFailedError",
    "SweepResult",
    "read_sweep",
    "shipped_sweeps",
    "tune",
]
