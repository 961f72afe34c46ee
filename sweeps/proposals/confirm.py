"""More seeds of the best few and of the base, before a trial is called best.

One number per trial is a draw: of many trials the best is partly the luckiest. So the best few are
trained with further seeds, and compared with the base in pairs that share split and seed.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pydantic import BaseModel
from scipy.stats import t

from sweeps.ledger import Trial
from sweeps.schema.sweep import Configuration, SweepConfig
from sweeps.space import identity, trial_key

LEVEL = 0.95
SEED = "seed"  # the setting

Scores = Mapping[tuple[int, int], float]  # by seed and split


class Verdict(BaseModel, frozen=True, extra="forbid"):
    """How a trial differs from the base: its score minus the base's, in pairs of seed and split."""

    difference: float
    low: float  # 95 % interval, Student's t over the pairs
    high: float
    pairs: int

    @property
    def tie(self) -> bool:
        """Whether the interval holds 0."""
        return self.low <= 0 <= self.high


class Repeat(NamedTuple):
    """A training that is missing.

    Attributes:
        configuration: With its seed.
        confirms: Key of the trial that has the same settings.
    """

    configuration: Configuration
    confirms: str


def seeds(sweep: SweepConfig) -> list[int]:
    """The seeds that are added."""
    if sweep.confirm is None:
        return []
    first = sweep.run({}, split=0).seed
    return [first + number for number in range(1, sweep.confirm.seeds)]


def missing(
    sweep: SweepConfig, best: Sequence[Configuration], *, repeats: Sequence[Trial]
) -> list[Repeat]:
    """What must still be trained, the best first.

    Args:
        sweep: The sweep.
        best: Configurations that finished all splits, the best first.
        repeats: Trainings with further seeds that were begun.
    """
    if sweep.confirm is None or not best:
        return []
    chosen = {identity(one): one for one in (*best[: sweep.confirm.top], sweep.baseline)}
    over = {identity(one.configuration) for one in repeats if one.over}
    wanted = [
        Repeat({**one, SEED: seed}, trial_key(sweep, one))
        for one in chosen.values()
        for seed in seeds(sweep)
    ]
    return [one for one in wanted if identity(one.configuration) not in over]


def scores(trial: Trial, *, own: int, repeats: Sequence[Trial]) -> Scores:
    """Scores of a trial with all its seeds; of those that finished all splits.

    Args:
        trial: Of the search.
        own: Its seed, the base's.
        repeats: Trainings with further seeds, of any trial.
    """
    found: dict[tuple[int, int], float] = {}
    for one in (trial, *(one for one in repeats if one.confirms == trial.key)):
        seed = one.configuration.get(SEED, own) if one.confirms else own
        if one.state == "complete":
            found |= {(int(seed or 0), split): value for split, value in one.values.items()}
    return {pair: value for pair, value in found.items() if math.isfinite(value)}


def base_scores(sweep: SweepConfig, repeats: Sequence[Trial]) -> dict[tuple[int, int], float]:
    """Scores of the base with further seeds, which it has also where the search left it out."""
    key = trial_key(sweep, sweep.baseline)
    absent = Trial(key=key, number=0, configuration=sweep.baseline, baseline=True)
    return dict(scores(absent, own=sweep.run({}, split=0).seed, repeats=repeats))


def confirmed(sweep: SweepConfig, known: Scores) -> float | None:
    """Mean over all seeds and splits; None while one is missing."""
    if sweep.confirm is None or len(known) <= len(sweep.splits):
        return None  # without a look at the base, which takes a while for a thousand trials
    wanted = {
        (seed, split)
        for seed in (sweep.run({}, split=0).seed, *seeds(sweep))
        for split in range(len(sweep.splits))
    }
    if not wanted <= known.keys():
        return None
    return sum(known[pair] for pair in wanted) / len(wanted)


def compare(trial: Scores, base: Scores) -> Verdict | None:
    """How a trial differs from the base; None if fewer than two pairs are there."""
    pairs = sorted(trial.keys() & base.keys())
    if len(pairs) < 2:
        return None
    differences = [trial[pair] - base[pair] for pair in pairs]
    mean = sum(differences) / len(pairs)
    variance = sum((one - mean) ** 2 for one in differences) / (len(pairs) - 1)
    half = float(t.ppf(0.5 + LEVEL / 2, len(pairs) - 1)) * math.sqrt(variance / len(pairs))
    return Verdict(difference=mean, low=mean - half, high=mean + half, pairs=len(pairs))
