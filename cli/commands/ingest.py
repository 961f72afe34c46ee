"""The command that writes cells into a store."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from cli.names import as_given, from_text_or_file
from cli.options import Commands, options_of
from cli.show.progress import Bar
from cli.show.terminal import require_there, show
from cli.usage import example
from data_store.sources.formats.registry import FORMATS
from data_store.sources.options import IngestOptions
from scdfm.screen.names import how_many

app = Commands()


@app.command(
    epilog=example(
        "scdfm ingest norman.h5ad stores/norman.zarr --recipe norman",
        "scdfm ingest cells.h5ad stores/mine.zarr --layer counts --library-size ncounts",
        "scdfm ingest papalexi.h5ad stores/papalexi.zarr --condition perturbation "
        "--context bio_rep --perturbation gene",
        "scdfm ingest filtered_feature_bc_matrix.h5 stores/screen.zarr --cells identities.csv",
        "scdfm ingest filtered_feature_bc_matrix.h5 stores/guides.zarr --guides guides.csv",
        "scdfm ingest second_batch.h5ad stores/mine.zarr --append",
        "scdfm ingest https://dataverse.harvard.edu/api/access/datafile/6154020 stores/norman.zarr "
        "--recipe norman",
    )
)
@options_of(
    IngestOptions,
    spelled={
        "condition_column": ("--condition", "--condition-column"),
        "context_column": ("--context", "--context-column"),
        "library_size_column": ("--library-size", "--library-size-column"),
    },
    read={
        "gene_list": partial(
            from_text_or_file, column="gene", option="--gene-list", known=frozenset
        ),
        # Which labels hold commas is known when the cells are read.
        "exclude": partial(as_given, column="condition", option="--exclude"),
    },
)
def ingest(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help=f"Files of cells ({', '.join(FORMATS)}), folders or .txt lists of them, or "
            "addresses.",
        ),
    ],
    store: Annotated[
        Path,
        typer.Argument(metavar="STORE", help="The directory to write, or s3://... or gs://..."),
    ],
    options: IngestOptions,
) -> None:
    """Write cells into a sharded store.

    What the options leave open is detected; each detection is printed.
    """
    for source in sources:
        require_there(source, what="file of cells", remedy="check the path")
    from scdfm.screen.address import url_of

    place = url_of(store) or store
    with Bar("ingest", unit="cells") as bar:
        from data_store.ingest import write as ingestion

        manifest = ingestion.ingest(sources, place, options=options, progress=bar.progress)
    show(
        f"{place}: {how_many(manifest.cells, 'cell')} x {how_many(manifest.genes, 'gene')}, "
        f"{how_many(manifest.units, 'unit')} in {how_many(len(manifest.contexts), 'context')}, "
        f"fingerprint {manifest.fingerprint[:12]}"
    )
