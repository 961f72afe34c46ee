"""The front of a sweep with several metrics: trials that no other beats in one without losing."""

from collections.abc import Sequence

import numpy as np

from sweeps.ledger import Trial
from sweeps.schema.rules import ObjectiveConfig


def front(trials: Sequence[Trial], *, objective: ObjectiveConfig) -> list[Trial]:
    """Those of the trials that are on the front, in their order.

    A trial is on it unless another is at least as good by every metric and better by one.

    Args:
        trials: That finished all splits.
        objective: What they are judged by.
    """
    if not trials:
        return []
    points = np.array([signed_values(one, objective=objective) for one in trials])
    at_least, better = points[:, None] <= points[None], points[:, None] < points[None]
    beaten = np.any(at_least.all(-1) & better.any(-1), axis=0).tolist()
    return [one for one, is_beaten in zip(trials, beaten, strict=True) if not is_beaten]


def signed_values(trial: Trial, *, objective: ObjectiveConfig) -> tuple[float, ...]:
    """A trial's means by each metric, less being better."""
    first, *further = objective.metrics
    return (first.sign * trial.mean, *(one.sign * trial.mean_of(one.metric) for one in further))
