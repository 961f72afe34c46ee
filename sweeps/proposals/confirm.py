"""More seeds of the best few and of the base, before a trial is called best.

One number per trial is a draw: of many trials the best is partly the luckiest. So the best few are
trained with further seeds, and compared with the base in pairs that share split and seed. The seed
by which a trial was chosen speaks for it: it has no say among these, nor in the pairs.
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
    low: float  # Student's t over the pairs; 95 % for all `among` intervals together
    high: float
    pairs: int
    among: int = 1  # trials that the best was chosen from by what these pairs tell
    further: bool = False  # the pairs are those of further seeds alone

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
    """What must still be trained, the best first; what failed is tried again by each command.

    Args:
        sweep: The sweep.
        best: Configurations that finished all splits, the best first.
        repeats: Trainings with further seeds that were begun.
    """
    if sweep.confirm is None or not best:
        return []
    chosen = {identity(one): one for one in (*best[: sweep.confirm.top], sweep.baseline)}
    over = {identity(one.configuration) for one in repeats if one.settled}
    wanted = [
        Repeat({**one, SEED: seed}, trial_key(sweep, one))
        for one in chosen.values()
        for seed in seeds(sweep)
    ]
    return [one for one in wanted if identity(one.configuration) not in over]


def failed_before(wanted: Sequence[Repeat], *, repeats: Sequence[Trial]) -> list[str]:
    """Keys of the trainings among those wanted that have failed and are tried again.

    Args:
        wanted: As `missing` has it.
        repeats: Trainings with further seeds that were begun.
    """
    names = {identity(one.configuration) for one in wanted}
    return [one.key for one in repeats if one.over and identity(one.configuration) in names]


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
    """Mean over further seeds and splits; None while one is missing."""
    if sweep.confirm is None or len(known) <= len(sweep.splits):
        return None  # without a look at the base, which takes a while for a thousand trials
    wanted = {(seed, split) for seed in seeds(sweep) for split in range(len(sweep.splits))}
    if not wanted <= known.keys():
        return None
    return sum(known[pair] for pair in wanted) / len(wanted)


def verdicts(
    known: Mapping[str, Scores], base: Scores, *, own: int, compared: int
) -> dict[str, Verdict | None]:
    """How trials differ from the base.

    Where further seeds are there, these alone tell it: the first seed has chosen the trial. Else
    the first seed does, with an interval that holds for all trials together.

    Args:
        known: Scores of trials other than the base, by the trial's key.
        base: The base's scores.
        own: The first seed.
        compared: Trials that the search compared, without the base.
    """
    later = {key: _further(one, own=own) for key, one in known.items()}
    again = _further(base, own=own)
    sure = {key for key, one in later.items() if len(one.keys() & again.keys()) > 1}
    return {
        key: compare(later[key], again, among=len(sure), further=True)
        if key in sure
        else compare(one, base, among=compared)
        for key, one in known.items()
    }


def _further(known: Scores, *, own: int) -> Scores:
    return {pair: value for pair, value in known.items() if pair[0] != own}


def compare(
    trial: Scores, base: Scores, *, among: int = 1, further: bool = False
) -> Verdict | None:
    """How a trial differs from the base; None if fewer than two pairs are there.

    Args:
        trial: Its scores.
        base: The base's.
        among: Trials that it was chosen from by these scores. The interval is that of one of so
            many which hold together (Bonferroni).
        further: Whether the scores are those of further seeds alone.
    """
    pairs = sorted(trial.keys() & base.keys())
    if len(pairs) < 2:
        return None
    differences = [trial[pair] - base[pair] for pair in pairs]
    mean = sum(differences) / len(pairs)
    variance = sum((one - mean) ** 2 for one in differences) / (len(pairs) - 1)
    quantile = float(t.ppf(1 - (1 - LEVEL) / (2 * among), len(pairs) - 1))
    half = quantile * math.sqrt(variance / len(pairs))
    return Verdict(
        difference=mean,
        low=mean - half,
        high=mean + half,
        pairs=len(pairs),
        among=among,
        further=further,
    )
