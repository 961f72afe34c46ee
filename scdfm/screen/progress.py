"""How far a piece of work is: what every long function tells whoever waits for it."""

from collections.abc import Callable
from typing import NamedTuple


class Progress(NamedTuple):
    """How far the work is now."""

    done: int  # units, those of an earlier session included
    total: int  # units in all; 0 while that is not known
    unit: str  # what is counted, such as "cells" or "shards"; in the plural
    note: str = ""  # what is being done, or what is known so far


OnProgress = Callable[[Progress], None]  # may be called often, and from any thread
