"""Where a sweep stands, in lines that fit into 80 columns."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from cli.show.numbers import device_hours, number, numbers, settings
from cli.show.times import duration

if TYPE_CHECKING:
    from sweeps.watching.now import BestTrial, Now, RunningTrial

_ENDS = ("complete", "pruned", "failed")  # that use up the budget
_OTHERS = {"open": "stopped in the middle", "infeasible": "left out, beyond the limits"}
_DOING = {"further seeds": ": the best with further seeds", "final": ": scores on test conditions"}
_MOST = 8  # trials that are listed


def state_of(now: "Now") -> str:
    """What is going on, and where."""
    if now.state == "done":
        return "done"
    doing = _DOING.get(now.doing or "", "")
    if now.state == "stopped":
        return f"stopped{doing}; run the command again to go on"
    where = "" if now.holder is None else f"; {now.holder.words}"
    return f"{now.state}{doing}{where}"


def trials_of(now: "Now") -> str:
    """How many trials of the budget ended, and how; then those that do not count, and seeds."""
    count = f"{now.over} of {now.trials}" if now.trials is not None else f"{now.over}"
    ended = {one: now.states.get(one, 0) for one in _ENDS}
    ended["failed"] -= now.again
    others = {
        "running": now.states.get("running", 0),
        **{word: now.states.get(state, 0) for state, word in _OTHERS.items()},
        "failed, to be tried again": now.again,
    }
    told = ", ".join(_each(ended))
    parts = [f"{count} have ended{f' ({told})' if told else ''}", *_each(others)]
    if now.repeats is not None:
        parts.append(f"{now.repeats_over} of {now.repeats} with further seeds")
    return "; ".join(parts)


def _each(states: Mapping[str, int]) -> list[str]:
    return [f"{number} {state}" for state, number in states.items() if number]


def best_of(best: "BestTrial", *, metric: str) -> str:
    """The best trial beside the base, both over further seeds where it was chosen by these."""
    named = f"trial {best.trial}{' (the base)' if best.baseline else ''}"
    if best.over_seeds is None:
        line, base = f"{named}: {metric} {number(best.value)}", best.base
    else:
        line, base = f"{named}: {metric} {number(best.over_seeds)}", best.base_over_seeds
        line += " over further seeds"
    return line if base is None or best.baseline else f"{line}, base {number(base)}"


def cost_of(now: "Now") -> str:
    """What it took so far."""
    tested = now.final is not None or now.doing == "final"
    without = "; test scores not counted" if tested else ""
    return f"{duration(3600 * now.hours)}, {device_hours(now.device_hours)}{without}"


def left_of(now: "Now") -> str:
    """How long it takes; nothing where that is not known."""
    if now.left is None:
        return ""
    seeds = f", {duration(now.left_of_seeds)} of it for further seeds" if now.left_of_seeds else ""
    return f"about {duration(now.left)}{seeds}"


def running_of(one: "RunningTrial", *, metric: str, splits: int) -> str:
    """A trial that trains now."""
    where = [
        (f"split {part.split} at " if splits > 1 else "") + f"step {part.step} of {part.steps}"
        for part in one.parts
    ]
    seed = f" seed {one.seed}" if one.seed is not None else ""
    value = "" if one.value is None else f", best {metric} {number(one.value)}"
    return f"trial {one.trial}{seed}: {', '.join(where) or 'about to begin'}{value}"


def lines_of(now: "Now", *, name: str) -> dict[str, str]:
    """Lines by name; those that a sweep has nothing to say in are left out.

    Args:
        now: Where the sweep stands.
        name: Of the sweep, as the user calls it.
    """
    best = now.best
    running = (running_of(one, metric=now.metric, splits=now.splits) for one in now.running)
    failed = (f"trial {one.trial}: {one.error}" for one in reversed(now.failed))
    found = {
        "sweep": name,
        "state": state_of(now),
        "trials": trials_of(now),
        "running": "\n".join(_listed(list(running))),
        "best": "" if best is None else best_of(best, metric=now.metric),
        "with": "" if best is None else settings(best.configuration),
        "front": "" if best is None else "\n".join(_listed(list(_front(best)))),
        "choice": "" if best is None else best.said,
        "scores": now.alike or "",
        "final": now.final or "",
        "failed": "\n".join(_listed(list(failed))),
        "cost": cost_of(now),
        "left": left_of(now),
    }
    return {name: line for name, line in found.items() if line}


def _front(best: "BestTrial") -> Iterator[str]:
    for trial, scores in best.front.items():
        yield f"trial {trial}: {numbers(scores)}"


def _listed(lines: list[str]) -> Iterator[str]:
    yield from lines[:_MOST]
    if len(lines) > _MOST:
        yield f"and {len(lines) - _MOST} more"
