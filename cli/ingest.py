"""The command that writes cells into a store."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.names import from_text_or_file, listed
from cli.terminal import show
from cli.usage import example

app = typer.Typer()

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


@app.command(
    epilog=example(
        "scdfm ingest norman.h5ad stores/norman.zarr --layer counts --library-size ncounts",
        "scdfm ingest papalexi.h5ad stores/papalexi.zarr --condition perturbation --context bio_rep",
        "scdfm ingest filtered_feature_bc_matrix.h5 stores/screen.zarr --cells identities.csv",
        "scdfm ingest second_batch.h5ad stores/norman.zarr --append",
        "scdfm ingest https://dataverse.harvard.edu/api/access/datafile/6154020 stores/norman.zarr "
        "--recipe norman",
    )
)
def ingest(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help=".h5ad, anndata .zarr, 10x .h5, folders or .txt lists of them, or addresses.",
        ),
    ],
    store: Annotated[
        Path,
        typer.Argument(metavar="STORE", help="The directory to write, or s3://... or gs://..."),
    ],
    recipe: Annotated[
        Literal["norman", "combosciplex"] | None,
        typer.Option(help="Columns and names of a published file; your options win."),
    ] = None,
    cells: Annotated[
        list[Path] | None,
        typer.Option(
            help="Table with a row per cell (.csv, .tsv, .parquet), read whole into memory; once, or "
            "per source."
        ),
    ] = None,
    gene_column: Annotated[
        str | None, typer.Option(help="var column of the gene names.", show_default="var's index")
    ] = None,
    sha256: Annotated[
        list[str] | None, typer.Option(help="That the file at an address must have.")
    ] = None,
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
    gene_list: Annotated[
        Path | None, typer.Option(help="File of genes to keep, one per line; and the perturbed.")
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
    remote: Annotated[
        bool, typer.Option("--remote", help="Larger chunks, for a store that goes to a network.")
    ] = False,
    memory: Annotated[str, typer.Option(help="To use at most, such as 500MB.")] = "1GB",
    workers: Annotated[int, typer.Option(min=1, help="Threads that share the work.")] = 1,
    append: Annotated[
        bool,
        typer.Option("--append", help="Add to the store that is there, as its next version."),
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Write cells into a sharded store.

    What is not told is detected and said.
    """
    from data_store.ingest import write as ingestion

    options = ingestion.IngestOptions.model_validate(
        {
            "recipe": recipe,
            "cells": tuple(cells or ()),
            "gene_column": gene_column,
            "sha256": tuple(sha256 or ()),
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
            "gene_list": _genes(gene_list),
            "exclude": listed(exclude or ()),
            "drop_unlabelled": drop_unlabelled,
            "join": join,
            "seed": seed,
            "remote": remote,
            "memory": memory,
            "workers": workers,
            "append": append,
            "overwrite": overwrite,
        }
    )
    from data_store.store.remote import url_of

    place = url_of(store) or store
    manifest = ingestion.ingest(sources, place, options=options)
    show(
        f"{place}: {manifest.cells} cells x {manifest.genes} genes, {manifest.units} units in "
        f"{len(manifest.contexts)} contexts, fingerprint {manifest.fingerprint[:12]}"
    )


def _genes(path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    if not path.is_file():
        raise FileNotFoundError(f"expected a file of genes for --gene-list, found no {path}")
    return from_text_or_file([str(path)], column="gene", option="--gene-list")
