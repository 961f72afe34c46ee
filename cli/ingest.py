"""The command that writes cells into a store."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.names import listed
from cli.terminal import say, show
from cli.usage import example

app = typer.Typer()

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


@app.command(
    epilog=example(
        "scdfm ingest norman.h5ad stores/norman.zarr --layer counts --library-size ncounts",
        "scdfm ingest papalexi.h5ad stores/papalexi.zarr --condition perturbation --context bio_rep",
    )
)
def ingest(
    sources: Annotated[
        list[Path], typer.Argument(metavar="SOURCE...", help=".h5ad files or anndata .zarr.")
    ],
    store: Annotated[Path, typer.Argument(metavar="STORE", help="The directory to write.")],
    condition: Annotated[
        str | None,
        typer.Option("--condition", "--condition-column", help="obs column of the perturbation."),
    ] = None,
    control: Annotated[
        list[str] | None, typer.Option(help="Label of the control; may be repeated.")
    ] = None,
    context: Annotated[
        str | None,
        typer.Option("--context", "--context-column", help="obs column of cell line or patient."),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="X, or the layer with the counts.")] = None,
    library_size: Annotated[
        str | None,
        typer.Option("--library-size", "--library-size-column", help="obs column of all UMIs."),
    ] = None,
    perturbation: Annotated[
        Literal["gene", "drug"] | None, typer.Option(help="What the labels name.")
    ] = None,
    separator: Annotated[str, typer.Option(help="Between the tokens of a label.")] = "+",
    normalised: Annotated[
        bool, typer.Option("--normalised", help="Values are log1p per 10k, not counts.")
    ] = False,
    min_cells: Annotated[
        int, typer.Option(min=0, help="Drop genes seen in fewer cells, unless perturbed.")
    ] = 0,
    min_condition_cells: Annotated[
        int, typer.Option(min=1, help="Drop conditions with fewer cells in a context.")
    ] = 1,
    genes: Annotated[
        int | None, typer.Option(min=1, help="Keep the most variable, and the perturbed.")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Condition to leave out; commas or repeated.")
    ] = None,
    drop_unlabelled: Annotated[
        bool, typer.Option("--drop-unlabelled", help="Leave out cells without a label.")
    ] = False,
    join: Annotated[
        Literal["same", "intersect", "union"], typer.Option(help="Genes of several sources.")
    ] = "same",
    seed: Annotated[int, typer.Option(min=0, help="Order of cells within a condition.")] = 0,
    memory: Annotated[str, typer.Option(help="To use at most, such as 2GB.")] = "2GB",
    overwrite: Overwrite = False,
) -> None:
    """Write cells into a sharded store.

    What is not told is detected and said.
    """
    from data_store import ingest as ingestion

    options = ingestion.IngestOptions.model_validate(
        {
            "condition_column": condition,
            "control": tuple(control or ()),
            "separator": separator,
            "context_column": context,
            "layer": layer,
            "normalised": normalised,
            "library_size_column": library_size,
            "perturbation": perturbation,
            "min_cells": min_cells,
            "min_condition_cells": min_condition_cells,
            "genes": genes,
            "exclude": listed(exclude or ()),
            "drop_unlabelled": drop_unlabelled,
            "join": join,
            "seed": seed,
            "memory": memory,
            "overwrite": overwrite,
        }
    )
    manifest = ingestion.ingest(sources, store, options=options, say=say)
    show(
        f"{store}: {manifest.cells} cells x {manifest.genes} genes, {manifest.units} units in "
        f"{len(manifest.contexts)} contexts, fingerprint {manifest.fingerprint[:12]}"
    )
