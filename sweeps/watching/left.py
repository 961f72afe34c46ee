"""How long a sweep still takes, by what its trials took so far: one estimate for all who ask.

Times are in seconds.
"""

import math
from collections.abc import Callable, Sequence

from sweeps.budget import ended
from sweeps.ledger import Trial


def seconds_left(
    trials: Sequence[Trial], *, wanted: int, at_once: int, took: Callable[[Trial], float]
) -> float | None:
    """Seconds until all trials have ended; None where those that ended do not tell.

    They do not before one has ended, nor while all that is left has taken longer than they did.

    Args:
        trials: Of the search, or of further seeds.
        wanted: How many are to end.
        at_once: How many run side by side.
        took: Seconds that a trial which has not ended took so far.
    """
    over = [one.seconds for one in trials if one.over and one.seconds > 0]
    if not over:
        return None
    each = math.fsum(over) / len(over)
    open_trials = [max(0.0, each - took(one)) for one in trials if not one.over]
    new = max(0, wanted - ended(trials) - len(open_trials))
    whole = math.fsum(open_trials) + new * each
    if open_trials and not whole:
        return None
    # One trial is not shared out: the last takes as long as any.
    return max(whole / max(1, at_once), *open_trials, each if new else 0.0)
