"""Finding and reading sweep files, those that ship with the package among them."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cluster.settings.booleans import boolean_for_number
from cluster.settings.config import OF_SWEEPS, RunConfig, make_run, set_setting
from cluster.settings.yaml_file import forgiving_yaml, one_line, set_dotted
from scdfm.screen.names import closest, nearest
from scdfm.screen.untyped import JsonObject, Unchecked
from sweeps.schema.dimension import Dimension
from sweeps.schema.sweep import SweepConfig

_OF_SWEEPS = {"splits", *OF_SWEEPS}
_OF_RUNS = {*RunConfig.model_fields, "preset"} - SweepConfig.model_fields.keys()


def shipped_sweeps() -> list[str]:
    """Names of the sweeps that ship with the package."""
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in files("sweeps").iterdir()
        if entry.name.endswith(".yaml")
    )


def read_sweep(path_or_name: str | Path, *, overrides: Unchecked | None = None) -> SweepConfig:
    """Read a sweep file, or one that ships with the package by its bare name.

    Args:
        path_or_name: A YAML file, or a name such as "norman".
        overrides: Values by dotted name, such as {"budget.trials": 4}.

    Raises:
        FileNotFoundError: No such file and no such name (names the nearest).
        ValueError: A sweep that could not run, in one line.
    """
    return make_sweep(_read(path_or_name), where=str(path_or_name), overrides=overrides)


def read_either(
    path_or_name: str | Path, *, overrides: Unchecked | None = None
) -> RunConfig | SweepConfig:
    """Read a run file or a sweep file, told apart by its sections.

    Raises:
        FileNotFoundError, ValueError: As `read_sweep`.
    """
    values = _read(path_or_name)
    make = make_sweep if _OF_SWEEPS & values.keys() else make_run
    return make(values, where=str(path_or_name), overrides=overrides)


def spelled_out(sweep: SweepConfig) -> JsonObject:
    """A sweep file with every setting of the sweep and of its base, the preset filled in."""
    values = sweep.model_dump(mode="json", exclude_none=True)
    values["base"] = sweep.run({}, split=0).model_dump(
        mode="json", exclude={"name", "output", "split"}
    )
    # Configurations are run as they stand, and none of their values is left out.
    if not sweep.configurations:
        del values["configurations"]
        return {**values, "enqueue": [dict(one) for one in sweep.enqueue]}
    values["configurations"] = dict(sweep.configurations)
    apart = ("space", "search", "enqueue")
    return {name: one for name, one in values.items() if name not in apart}


def make_sweep(values: Unchecked, *, where: str, overrides: Unchecked | None = None) -> SweepConfig:
    """Build a sweep from plain values.

    Raises:
        ValueError: A sweep that could not run, in one line.
    """
    if not _OF_SWEEPS & values.keys() and values.keys() & _OF_RUNS:
        raise ValueError(
            f"{where} is a run file, expected a sweep; use `scdfm train`, or name it as the base "
            "of a sweep: base: PATH"
        )
    for name, value in (overrides or {}).items():
        values = _set(values, name, value)
    if fault := boolean_for_number(values, SweepConfig):
        raise ValueError(f"{where}: {fault}")
    try:
        return SweepConfig.model_validate(values)
    except ValidationError as error:
        raise ValueError(f"{where}: {one_line(error, SweepConfig)}") from None


def _set(values: Unchecked, name: str, value: Any) -> Unchecked:
    """Set one value by its dotted name, also where names hold dots and where the base is a file."""
    section, _, inner = name.partition(".")
    if section in ("space", "configurations") and inner:
        return {**values, section: _set_entry(section, values.get(section), inner, value)}
    if section == "base" and inner and isinstance(values.get("base"), str):
        # With a file, the sweep's own values win over these; it is not an error.
        own = ("name", "output", *(("split",) if values.get("splits") else ()))
        base = forgiving_yaml(Path(values["base"]))
        values = {**values, "base": {key: base[key] for key in base if key not in own}}
    if section == "base" and inner and isinstance(values.get("base"), dict):
        return {**values, "base": set_setting(values["base"], inner, value)}
    return set_dotted(values, name, value)


def _set_entry(section: str, entries: Any, name: str, value: Any) -> Unchecked:
    """Set an entry `graph.k`, or `graph.k.low` inside the entry graph.k."""
    entries = {} if entries is None else entries
    if not isinstance(entries, dict):
        raise ValueError(f"{section} must hold settings as `name: value`, got {entries!r}")
    for known in sorted(entries, key=len, reverse=True):
        if name.startswith(f"{known}.") and isinstance(entries[known], dict):
            return {**entries, known: {**entries[known], name.removeprefix(f"{known}."): value}}
    setting, _, part = name.rpartition(".")
    if section == "space" and part in Dimension.model_fields:
        close = closest(setting, entries)
        raise ValueError(
            f"space holds no {setting!r} whose {part} could be set; "
            + (f"did you mean {close!r}, or " if close is not None else "")
            + f"give all of it: --set 'space.{setting}={{type: int, low: 5, high: 60}}'"
        )
    return {**entries, name: value}


def _read(path_or_name: str | Path) -> Unchecked:
    path, name = Path(path_or_name), str(path_or_name)
    if path.is_file() or path.suffix or len(path.parts) > 1:
        return forgiving_yaml(path)
    if name not in shipped_sweeps():
        raise FileNotFoundError(
            f"no sweep file {name!r} here and none of that name in the package; "
            f"{nearest(name, shipped_sweeps())}"
        )
    with as_file(files("sweeps") / f"{name}.yaml") as shipped:
        return forgiving_yaml(shipped)
