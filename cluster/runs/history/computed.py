"""How a run's steps were computed, and what is said where that changes."""

from collections.abc import Sequence

from cluster.runs.records import Computed


def computed_alike(before: Computed, now: Computed) -> bool:
    """Whether steps are computed as before; an older version did not write all of it."""
    unknown = {
        name: getattr(now, name)
        for name in ("workers", "threads", "batches")
        if getattr(before, name) is None
    }
    return before.model_copy(update={"step": now.step, **unknown}) == now


def hands_note(now: Computed, *, before: Sequence[Computed]) -> str:
    """How many workers compute with how many threads, and what it means if that has changed."""
    said = _hands(now)
    last = before[-1] if before else now
    if last.workers is None or (last.workers, last.threads) == (now.workers, now.threads):
        return said
    if _batches(last) != _batches(now):
        return f"{said}, before {_hands(last)}: a step takes another number of batches"
    return f"{said}, before {_hands(last)}: the last digits may differ"


def _batches(how: Computed) -> int | None:
    return how.workers if how.batches is None else how.batches


def _hands(how: Computed) -> str:
    return f"{_counted(how.workers, 'worker')} of {_counted(how.threads, 'thread')}"


def _counted(number: int | None, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
