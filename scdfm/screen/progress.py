"""Progress of a piece of work: what every long function reports."""

import logging
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")


class Progress(NamedTuple):
    """How far the work is now."""

    done: int  # units, those of an earlier session included
    total: int  # units in all; 0 while that is not known
    unit: str  # what is counted, such as "cells" or "shards"; in the plural
    note: str = ""  # what is being done, or what is known so far


OnProgress = Callable[[Progress], None]  # may be called often, and from any thread


def counted(
    items: Iterable[Item],
    *,
    total: int,
    unit: str,
    note: str = "",
    size: Callable[[Item], int] = lambda item: 1,
    progress: OnProgress | None,
) -> Iterator[Item]:
    """Yield items, and report after each how far the work is.

    Args:
        items: What is worked on.
        total: Units in all.
        unit: What is counted.
        note: What is being done.
        size: Units of an item.
        progress: Receives the progress; None: nobody asked.
    """
    done = 0
    for item in items:
        units = size(item)
        yield item
        done += units
        if progress is not None:
            progress(Progress(done, total, unit, note))


_PHASE = "phase"  # attribute of a log record


def phase(log: logging.Logger, what: str) -> None:
    """Log what is being done from now on, such as "starting Ray".

    On a terminal the live bar shows it until the next; elsewhere it is a line like others.
    """
    log.info(what, extra={_PHASE: True})


def is_phase(record: logging.LogRecord) -> bool:
    """Whether a log record says what is being done."""
    return bool(getattr(record, _PHASE, False))
