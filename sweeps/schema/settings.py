"""Which settings of a run a sweep may search over, by dotted name."""

from cluster.settings.config import RunConfig
from cluster.settings.yaml_file import fields_at
from scdfm.screen.names import nearest

# The sweep sets these itself, or values of the metric would not be comparable between trials.
RESERVED = {
    "store": "a sweep compares runs on one store",
    "name": "the sweep names its runs",
    "output": "the sweep chooses the folder of its runs; use output next to base",
    "split": "all trials see the same splits; use splits next to base",
    "validation": "all trials must be judged alike",
    "genes.evaluation": "all trials must be judged on the same genes",
    "genes.choice": "all trials must be judged on the same genes",
    "seed": "it also draws the units that validate, and all trials must be judged alike; "
    "train the best with more seeds by confirm: {seeds: N}",
    "threads": "a trial uses the cores of resources.cpu",
    "failure": "it decides no value; set it in base",
    "watch": "it decides no value; set it in base",
}


def settings(within: tuple[str, ...] = ()) -> list[str]:
    """Dotted names of all settings a sweep may search over."""
    names = []
    for field in fields_at(RunConfig, within):
        path = (*within, field)
        if _reserved(".".join(path)) is None:
            names += settings(path) if fields_at(RunConfig, path) else [".".join(path)]
    return names


def require_setting(name: str, *, within: str) -> None:
    """Refuse a name that is not a setting, or a setting that a sweep may not change.

    Args:
        name: Dotted name.
        within: The section of the sweep that holds it, for the message.

    Raises:
        ValueError: Says why, or names the nearest setting.
    """
    reason = _reserved(name)
    if reason:
        raise ValueError(f"{within} must not hold {name!r}: {reason}; remove it")
    known = settings()
    # What another method than flow reads only that method knows; the run itself is checked by it.
    if name not in known and not name.startswith("settings."):
        raise ValueError(f"{within}: {name!r} is not a setting of a run; {nearest(name, known)}")


def _reserved(name: str) -> str | None:
    return next(
        (why for one, why in RESERVED.items() if name == one or name.startswith(f"{one}.")), None
    )
