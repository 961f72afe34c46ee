"""How far a piece of work is: what every long function tells whoever waits for it."""

import logging
from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """How far the work is now."""

    done: int  # units, those of an earlier session included
    total: int  # units in all; 0 while that is not known
    unit: str  # what is counted, such as "cells" or "shards"; in the plural
    note: str = ""  # what is being done, or what is known so far


OnProgress = Callable[[Progress], None]  # may be called often, and from any thread

_PHASE = "phase"  # attribute of a log record


def phase(log: logging.Logger, what: str) -> None:
    """Log what is being done from now on, such as "starting Ray".

    On a terminal it stands in the live bar until the next; elsewhere it is a line like others.
    """
    log.info(what, extra={_PHASE: True})


def is_phase(record: logging.LogRecord) -> bool:
    """Whether a log record says what is being done."""
    return bool(getattr(record, _PHASE, False))
