"""How published files are read: `--recipe` sets columns and names that the file does not say.

The user's options win. Conditions that the user excludes are added to those that the recipe leaves
out.
"""

from collections.abc import Collection, Sequence
from typing import TypedDict

from data_store.sources.notes import note
from data_store.sources.options import IngestOptions
from data_store.sources.recipes.recipe import Recipe
from data_store.sources.recipes.registry import RECIPES
from data_store.sources.source import Source
from data_store.store.schema import Perturbation
from scdfm.screen.conditions import JOINT, Condition, condition
from scdfm.screen.names import listed


class _Chosen(TypedDict, total=False):
    """Options that a recipe sets."""

    condition_column: tuple[str, ...]
    layer: str | None
    control: tuple[str, ...]
    perturbation: Perturbation | None
    gene_column: str | None


def applied(options: IngestOptions, sources: Sequence[Source]) -> IngestOptions:
    """The options, with the recipe's where the user gave none.

    Raises:
        ValueError: A source lacks what the recipe expects, and the user named nothing else.
    """
    if options.recipe is None:
        return options
    recipe = RECIPES[options.recipe]
    chosen: _Chosen = {}
    if not options.condition_column:
        first = _first_in_all(recipe.conditions, [source.columns for source in sources])
        chosen["condition_column"] = () if first is None else (first,)
    if options.layer is None and not options.normalised:  # log values are not in the counts' layer
        chosen["layer"] = _first_in_all(recipe.layers, [source.layers for source in sources])
    _refuse_missing(chosen, sources, recipe=recipe, name=options.recipe)
    if recipe.control and not options.control:
        chosen["control"] = recipe.control
    if options.perturbation is None:
        chosen["perturbation"] = recipe.perturbation
    column = recipe.gene_column
    if options.gene_column is None and all(column in source.var for source in sources):
        chosen["gene_column"] = column
    said = " ".join(f"--{name.replace('_', '-')} {_shown(value)}" for name, value in chosen.items())
    note(f"recipe {options.recipe}, written for {recipe.file}: {said}")
    return options.model_copy(update=chosen)


def dropped(options: IngestOptions) -> tuple[Condition, ...]:
    """Conditions that the recipe leaves out, if they occur."""
    drop = RECIPES[options.recipe].drop if options.recipe is not None else ()
    return tuple(condition(name.split(JOINT)) for name in drop)


def _first_in_all(names: Sequence[str], places: Sequence[Collection[str]]) -> str | None:
    return next((name for name in names if all(name in place for place in places)), None)


def _refuse_missing(
    chosen: _Chosen, sources: Sequence[Source], *, recipe: Recipe, name: str
) -> None:
    first, missing = sources[0], []
    if chosen.get("condition_column") == ():
        wanted = " or ".join(map(repr, recipe.conditions))
        missing.append(f"an obs column {wanted} (it has {listed(first.columns)})")
    if "layer" in chosen and chosen["layer"] is None:
        wanted = " or ".join(map(repr, recipe.layers))
        missing.append(f"a layer {wanted} (it has {listed(first.layers)})")
    if missing:
        raise ValueError(
            f"recipe {name} expected {' and '.join(missing)} in {first.path}: it is written for "
            f"{recipe.file}; leave it out, or say --condition-column or --layer"
        )


def _shown(value: object) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
