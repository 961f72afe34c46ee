"""The command that predicts cells of conditions nobody has measured."""

from collections.abc import Container
from pathlib import Path
from typing import Annotated

import typer

from cli.names import contexts_of, from_text_or_file
from cli.options import Address, Commands
from cli.precision import Precision
from cli.progress import Bar
from cli.terminal import require_folder, require_there, show
from cli.usage import example
from scdfm.screen.conditions import Words

app = Commands()


@app.command(
    epilog=example(
        "scdfm predict runs/norman/model --store stores/norman.zarr \\",
        "  --conditions KLF1,KLF1+MAP2K6 --out predicted.h5ad --actors 2",
    )
)
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model's directory.")],
    store: Annotated[str, typer.Option(help="The store whose controls are perturbed.")],
    conditions: Annotated[
        list[str],
        typer.Option(
            help="A,B,A+B, or a file: one per line, or CSV with a column `condition`; may be "
            "repeated."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Cells to write, .h5ad or .zarr.")],
    contexts: Annotated[
        list[str] | None,
        typer.Option(help="Of the controls: A,B, or a file; may be repeated.", show_default="all"),
    ] = None,
    cells: Annotated[int, typer.Option(min=1, help="For each condition and context.")] = 256,
    genes: Annotated[
        list[str] | None,
        typer.Option(
            help="A,B or a file: one per line, or CSV with a column `gene`; may be repeated.",
            show_default="all of the model",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Decides every draw.")] = 0,
    with_controls: Annotated[
        bool, typer.Option("--with-controls", help="Put the contexts' control cells beside.")
    ] = False,
    precision: Precision = "auto",
    actors: Annotated[int, typer.Option(min=1, help="Ray actors that share the work.")] = 1,
    gpu: Annotated[bool, typer.Option("--gpu/--no-gpu", help="A GPU for each actor.")] = False,
    address: Address = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there, or was begun there.")
    ] = False,
) -> None:
    """Predict the cells of new conditions, as AnnData.

    Values are log1p per 10k, labels as the store writes them. Run the command again to resume a
    prediction that was stopped. `scdfm export --normalised --genes-of OUT` writes the real cells
    of the same conditions, if there are any.
    """
    require_folder(out)
    require_there(model, what="run or model")
    require_there(store, what="store")
    wanted = from_text_or_file(
        conditions, column="condition", option="--conditions", known=lambda: _words(model, store)
    )
    only = None
    if genes:
        only = from_text_or_file(
            genes, column="gene", option="--genes", known=lambda: _genes(model)
        )
    where = None
    if contexts:
        where = from_text_or_file(
            contexts, column="context", option="--contexts", known=contexts_of(store)
        )
    with Bar("predict", unit="shards") as bar:
        from cluster.predict.actors import predict as predict_on_cluster
        from cluster.predict.request import PredictionRequest

        request = PredictionRequest(
            model=model,
            store=store,
            conditions=wanted,
            contexts=where,
            cells=cells,
            genes=only,
            seed=seed,
            precision=precision,
            controls=with_controls,
            out=out,
            overwrite=overwrite,
        )
        written = predict_on_cluster(
            request, actors=actors, gpu=gpu, address=address, report=bar.progress
        )
    show(f"predictions {written}")


def _words(model: Path, store: str) -> Words:
    """How the model writes conditions, and the labels of the store."""
    from cluster.predict.request import words_of
    from cluster.work.evaluate import model_directory
    from data_store.store.reader import Store
    from scdfm.flow.checkpoint import read_card

    with Store.open(store) as opened:
        return words_of(read_card(model_directory(model)), opened)


def _genes(model: Path) -> Container[str]:
    """The model's genes."""
    from cluster.work.evaluate import model_directory
    from scdfm.flow.checkpoint import read_card

    return read_card(model_directory(model)).genes
