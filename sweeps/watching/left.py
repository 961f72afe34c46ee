"""How long a sweep still takes, by what its trials took so far: one estimate for all who ask.

Times are in seconds.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

from sweeps.budget import ended
from sweeps.ledger import Trial
from sweeps.proposals.confirm import SEED
from sweeps.results import finalists
from sweeps.schema.sweep import SweepConfig
from sweeps.space import identity


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


def seconds_of_seeds(
    sweep: SweepConfig,
    trials: Sequence[Trial],
    *,
    repeats: Sequence[Trial],
    wanted: int,
    at_once: int,
) -> float:
    """Seconds that further seeds take once the search has ended; 0 where none are asked for.

    Args:
        sweep: The sweep.
        trials: Of the search.
        repeats: Trainings with further seeds that have begun.
        wanted: Trials of the search that are to end.
        at_once: How many run side by side.
    """
    missing = _seeds_to_come(sweep, trials, repeats=repeats, wanted=wanted)
    # What is pruned is short, and a training with another seed never is.
    whole = [one.seconds for one in trials if one.state == "complete" and one.seconds > 0]
    whole = whole or [one.seconds for one in trials if one.over and one.seconds > 0]
    if not missing or not whole:
        return 0.0
    each = math.fsum(whole) / len(whole)
    return max(each, missing * each / max(1, at_once))


def _seeds_to_come(
    sweep: SweepConfig, trials: Sequence[Trial], *, repeats: Sequence[Trial], wanted: int
) -> int:
    """Trainings with further seeds, as if those that are best now stayed so."""
    if sweep.confirm is None:
        return 0
    top, each = sweep.confirm.top, sweep.confirm.seeds - 1
    best = [one.configuration for one in finalists(sweep, trials)]
    base = next((one.configuration for one in trials if one.baseline), None)
    # The base is trained with further seeds also where the search leaves it out.
    chosen = {identity(one) for one in (*best[:top], base or sweep.baseline)} if best else set()
    trained = Counter(_without_seed(one) for one in repeats if one.settled)
    free = min(top, len(best) + max(0, wanted - ended(trials))) - min(top, len(best))
    return sum(max(0, each - trained[one]) for one in chosen) + free * each


def _without_seed(repeat: Trial) -> str:
    return identity({name: one for name, one in repeat.configuration.items() if name != SEED})
