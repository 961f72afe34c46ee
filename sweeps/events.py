"""What a sweep reports while it runs."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple

from sweeps.schema.sweep import Configuration

Kind = Literal["start", "round", "split", "complete", "pruned", "failed", "infeasible", "retry"]

ENDS = ("complete", "pruned", "failed", "infeasible")  # kinds that are the end of a trial


class SweepEvent(NamedTuple):
    """Something happened to a trial; what does not belong to its kind is None."""

    kind: Kind
    trial: int  # its number, from 1
    trials: int  # that the budget allows
    over: int  # trials that have ended
    metric: str
    best: float | None  # value of the best complete trial so far
    value: float | None = None  # mean so far; "split": of that split
    split: int | None = None  # position of the split that the trial is at
    step: int | None = None  # "round": steps of training on that split; "retry": it goes on from
    configuration: Configuration | None = None  # "start": what is tried
    name: str | None = None  # "start": of a listed configuration
    taken: str | None = None  # "split": the run of another sweep that it was copied from
    seed: int | None = None  # of a further training of the best
    best_trial: int | None = None  # number of the best complete trial
    states: Mapping[str, int] = MappingProxyType({})  # trials by their state
    device_hours: float = 0.0  # of all trials so far, times their GPUs or cores
    left: float | None = None  # seconds until all is trained, further seeds too; none: not known
    error: str | None = None  # "failed", "retry": why; "infeasible": what it needs


OnEvent = Callable[[SweepEvent], None]
