"""Presets: `preset: NAME` fills in what a run file leaves out.

What the user sets wins. If the user chooses another `kind` of split or graph, nothing of that
section is filled in, because the preset's options belong to its own kind. Of another `variant` of
the network only what that variant lacks is left out: both have a width.
"""

import copy
import functools
from collections.abc import Mapping
from importlib.resources import as_file, files
from typing import Any

from pydantic import BaseModel

from cluster.settings.yaml_file import forgiving_yaml
from scdfm.model.networks import NETWORKS
from scdfm.screen.untyped import Unchecked

NAMES = ("norman", "combosciplex", "small", "tiny")


def preset(name: str) -> Unchecked:
    """Settings of a preset, as a run file would hold them.

    Raises:
        ValueError: There is none of that name (names all).
    """
    if name not in NAMES:
        raise ValueError(f"preset {name!r} does not exist; use one of {', '.join(NAMES)}")
    return copy.deepcopy(_read(name))


@functools.cache
def _read(name: str) -> Unchecked:
    """A preset's file; a sweep makes a run of each of its trials."""
    with as_file(files("cluster.settings.presets") / f"{name}.yaml") as path:
        return forgiving_yaml(path)


def with_preset(values: Mapping[str, Any]) -> Unchecked:
    """The settings of a run file, its preset filled in and no longer named.

    Raises:
        ValueError: There is no such preset (names all).
    """
    given = dict(values)
    if "preset" not in given:
        return given
    return _filled(given, _of_variant(preset(given.pop("preset")), given.get("model")))


def _of_variant(filling: Unchecked, model: object) -> Unchecked:
    """A preset without the options that the network of a run file lacks."""
    named = model.model_dump() if isinstance(model, BaseModel) else model
    variant = named.get("variant") if isinstance(named, Mapping) else None
    if isinstance(variant, str) and variant in NETWORKS and "model" in filling:
        lacks = NETWORKS[variant].lacks
        own = {name: value for name, value in filling["model"].items() if name not in lacks}
        filling = {**filling, "model": own}
    if isinstance(named, Mapping) and named.get("base_channel") is False and "model" in filling:
        own = {name: value for name, value in filling["model"].items() if name != "base_velocity"}
        filling = {**filling, "model": own}
    return filling


def _filled(given: Mapping[str, Any], otherwise: Mapping[str, Any]) -> Unchecked:
    if "kind" in otherwise and given.get("kind", otherwise["kind"]) != otherwise["kind"]:
        return dict(given)
    merged = {**otherwise, **given}
    for name in given.keys() & otherwise.keys():
        inner = given[name]
        if isinstance(inner, BaseModel):
            inner = inner.model_dump(exclude_unset=True)
        if isinstance(inner, Mapping) and isinstance(otherwise[name], Mapping):
            merged[name] = _filled(inner, otherwise[name])
    return merged
