"""How published files are read: `--recipe` sets columns and names that the file does not say.

What a user says wins over a recipe; conditions that a user excludes are added to those that the
recipe leaves out.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from data_store.sources.notes import note
from data_store.sources.options import IngestOptions, RecipeName
from data_store.sources.source import Source
from scdfm.screen.conditions import JOINT, Condition, condition
from scdfm.screen.names import listed

NORMAN_EXTRA = (
    "C3orf72+FOXL2",
    "LHX1+ELMSAN1",
    "MAP2K3+ELMSAN1",
    "MAP2K6+ELMSAN1",
    "ZBTB10+ELMSAN1",
    "TGFBR2+C19orf26",
)
"""Doubles of GEARS's file that are not among the 125 of the scDFM release."""


class Recipe(NamedTuple):
    """What is known of a published file."""

    file: str  # that it was written for
    conditions: tuple[str, ...]  # obs columns, the first one that is there
    layers: tuple[str, ...]  # with counts, the first one that is there
    options: dict[str, Any]  # other ones of IngestOptions
    gene_column: str | None = None  # of var, where it has it
    drop: tuple[str, ...] = ()  # conditions left out, tokens joined by +, where they occur


RECIPES: dict[RecipeName, Recipe] = {
    "norman": Recipe(
        file="GEARS' norman/perturb_processed.h5ad (Harvard Dataverse, datafile 6154020) or "
        "norman_2019_adata.h5ad (figshare 24688110)",
        conditions=("condition", "guide_merged"),
        layers=("counts", "count"),
        options={"control": ("ctrl", "control"), "perturbation": "gene"},
        # GEARS' index holds Ensembl ids, its labels name symbols.
        gene_column="gene_name",
        drop=NORMAN_EXTRA,
    ),
    "combosciplex": Recipe(
        file="combosciplex.h5ad (figshare 25062230)",
        conditions=("condition",),
        layers=("counts",),
        # The file writes it as control+control.
        options={"control": ("control",), "perturbation": "drug"},
    ),
}


def applied(options: IngestOptions, sources: Sequence[Source]) -> IngestOptions:
    """The options with the recipe's where the user has said nothing.

    Raises:
        ValueError: A source has not what the recipe expects, and the user did not say where else.
    """
    if options.recipe is None:
        return options
    recipe = RECIPES[options.recipe]
    chosen: dict[str, Any] = {}
    if options.condition_column is None:
        columns = [source.columns for source in sources]
        chosen["condition_column"] = _first_in_all(recipe.conditions, columns)
    if options.layer is None and not options.normalised:  # log values are not in the counts' layer
        chosen["layer"] = _first_in_all(recipe.layers, [source.layers for source in sources])
    _refuse_missing(chosen, sources, recipe=recipe, name=options.recipe)
    fields = IngestOptions.model_fields
    for name, value in recipe.options.items():
        if getattr(options, name) == fields[name].default:
            chosen[name] = value
    column = recipe.gene_column
    if options.gene_column is None and all(column in source.var for source in sources):
        chosen["gene_column"] = column
    said = " ".join(f"--{name.replace('_', '-')} {_shown(value)}" for name, value in chosen.items())
    note(f"recipe {options.recipe}, written for {recipe.file}: {said}")
    return options.model_copy(update=chosen)


def dropped(options: IngestOptions) -> tuple[Condition, ...]:
    """Conditions that the recipe leaves out where they occur."""
    drop = RECIPES[options.recipe].drop if options.recipe is not None else ()
    return tuple(condition(name.split(JOINT)) for name in drop)


def _first_in_all(names: Sequence[str], places: Sequence[Collection[str]]) -> str | None:
    return next((name for name in names if all(name in place for place in places)), None)


def _refuse_missing(
    chosen: dict[str, Any], sources: Sequence[Source], *, recipe: Recipe, name: str
) -> None:
    first, missing = sources[0], []
    if "condition_column" in chosen and chosen["condition_column"] is None:
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


def _shown(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
