"""How published files are read: `--recipe` sets columns and names that the file does not say.

What a user says wins over a recipe; conditions that a user excludes are added to those that the
recipe leaves out.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from data_store.detect import listed
from data_store.options import IngestOptions, RecipeName, Say
from data_store.sources import Source

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
    options: dict[str, Any]  # of IngestOptions
    gene_column: str | None = None  # of var, where it has it
    drop: tuple[str, ...] = ()  # conditions left out, where they occur


RECIPES: dict[RecipeName, Recipe] = {
    "norman": Recipe(
        file="GEARS' norman/perturb_processed.h5ad (Harvard Dataverse, datafile 6154020)",
        options={
            "condition_column": "condition",
            "control": ("ctrl", "control"),
            "layer": "counts",
            "perturbation": "gene",
        },
        # Its index holds Ensembl ids, its labels name symbols.
        gene_column="gene_name",
        drop=NORMAN_EXTRA,
    ),
    "combosciplex": Recipe(
        file="combosciplex.h5ad (figshare 25062230)",
        options={
            "condition_column": "condition",
            "control": ("control",),  # which the file writes as control+control
            "layer": "counts",
            "perturbation": "drug",
        },
    ),
}


def applied(options: IngestOptions, sources: Sequence[Source], *, say: Say) -> IngestOptions:
    """The options with the recipe's where the user has said nothing.

    Raises:
        ValueError: A source has not what the recipe expects, and the user did not say where else.
    """
    if options.recipe is None:
        return options
    recipe = RECIPES[options.recipe]
    fields = IngestOptions.model_fields
    silent = {name for name in recipe.options if getattr(options, name) == fields[name].default}
    if options.normalised:
        silent.discard("layer")  # log values are wanted, not the counts
    chosen = {name: value for name, value in recipe.options.items() if name in silent}
    if (
        options.gene_column is None
        and recipe.gene_column is not None
        and all(recipe.gene_column in source.var.columns for source in sources)
    ):
        chosen["gene_column"] = recipe.gene_column
    for source in sources:
        _require(source, chosen, name=options.recipe, file=recipe.file)
    said = " ".join(f"--{name.replace('_', '-')} {_shown(value)}" for name, value in chosen.items())
    say(f"recipe {options.recipe}, written for {recipe.file}: {said}")
    return options.model_copy(update=chosen)


def dropped(options: IngestOptions) -> tuple[str, ...]:
    """Conditions that the recipe leaves out where they occur."""
    return RECIPES[options.recipe].drop if options.recipe is not None else ()


def _require(source: Source, chosen: dict[str, Any], *, name: str, file: str) -> None:
    column, layer = chosen.get("condition_column"), chosen.get("layer")
    missing = []
    if column is not None and column not in source.columns:
        missing.append(f"an obs column {column!r} (it has {listed(source.columns)})")
    if layer is not None and layer not in source.layers:
        missing.append(f"a layer {layer!r} (it has {listed(source.layers)})")
    if missing:
        raise ValueError(
            f"recipe {name} expected {' and '.join(missing)} in {source.path}: it is written for "
            f"{file}; leave it out and say --condition-column or --layer"
        )


def _shown(value: Any) -> str:
    return ",".join(value) if isinstance(value, tuple) else str(value)
