"""Which further seeds have a say in who is best: the rule that a sweep was last run with.

`confirm` may be added, changed and left out between commands, and a file that reads a sweep has no
other place to know it from; so the ledger keeps it, and the board of every reader is that of
`scdfm tune`.
"""

from collections.abc import Sequence

from sweeps.ledger import Event, Ledger, fold
from sweeps.proposals.confirm import SEED
from sweeps.schema.rules import ConfirmConfig


def note_rule(ledger: Ledger, confirm: ConfirmConfig | None) -> None:
    """Write what holds from now on, if it differs from what held; hold the sweep's lease."""
    if rule_of(list(ledger.events())) != confirm:
        told = None if confirm is None else confirm.model_dump(mode="json")
        ledger.write({"event": "confirm", "confirm": told})


def rule_of(events: Sequence[Event]) -> ConfirmConfig | None:
    """What held when the sweep was last run; None: the first seed alone decides."""
    told = [one["confirm"] for one in events if one["event"] == "confirm"]
    if not told:
        return _of_older(events)
    return None if told[-1] is None else ConfirmConfig.model_validate(told[-1])


def _of_older(events: Sequence[Event]) -> ConfirmConfig | None:
    """What an older version must have been asked, by the trainings with further seeds."""
    repeats = [one for one in fold(events) if one.confirms is not None]
    if not repeats:
        return None
    seeds = {one.configuration[SEED] for one in repeats}
    return ConfirmConfig(top=len({one.confirms for one in repeats}), seeds=1 + len(seeds))
