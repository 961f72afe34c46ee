"""The command that makes a model of a checkpoint of the authors' code."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from cli.data import Json, Overwrite
from cli.names import in_order, tokens_of
from cli.options import Commands
from cli.terminal import show, show_json
from cli.usage import example

app = Commands()


@app.command(
    "import-release",
    epilog=example(
        "scdfm import-release checkpoint.pt models/norman --store stores/norman.zarr \\",
        "  --mask mask_fold_1topk_30additive_negative_edge.pt --vocabulary norman_vocab.json --fold 1",
    ),
)
def import_release(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT.pt", help="As the authors' code saves it.")
    ],
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The directory to write.")],
    store: Annotated[str, typer.Option(help="The store with the cells it was trained on.")],
    mask: Annotated[
        Path | None,
        typer.Option(help="The release's .pt file.", show_default="rebuilt from the store"),
    ] = None,
    vocabulary: Annotated[
        Path | None,
        typer.Option(help="The release's tokenizer, JSON.", show_default="the store's genes"),
    ] = None,
    perturbations: Annotated[
        list[str] | None,
        typer.Option(
            help="Drugs, control included, in the order of the checkpoint's table: A,B or a file, "
            "one per line; may be repeated.",
        ),
    ] = None,
    heads: Annotated[
        int | None, typer.Option(min=1, help="Of the blocks.", show_default="as the weights say")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="The split it was trained on, JSON of `scdfm split`.")
    ] = None,
    kind: Annotated[
        Literal["additive", "combosciplex"] | None,
        typer.Option(
            help="Instead: a split of the release.", show_default="additive; of drugs combosciplex"
        ),
    ] = None,
    fold: Annotated[
        int | None, typer.Option(min=0, help="Of kind additive.", show_default="0")
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("--k", min=1, help="Of a graph that is rebuilt (topk).", show_default="15"),
    ] = None,
    negative_edges: Annotated[
        bool, typer.Option("--negative-edges", help="Likewise (use_negative_edge).")
    ] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Make a model of a checkpoint that the authors' code has trained.

    `scdfm evaluate`, `predict` and `inspect` take the model as one of ours.
    """
    order = None
    if perturbations:
        order = in_order(
            perturbations,
            column="perturbation",
            option="--perturbations",
            known=tokens_of(store),
        )
    from cluster.release.import_release import ImportRequest
    from cluster.release.import_release import import_release as write_model

    request = ImportRequest(
        checkpoint=checkpoint,
        model=model,
        store=store,
        mask=mask,
        vocabulary=vocabulary,
        perturbations=order,
        heads=heads,
        split=split,
        kind=kind,
        fold=fold,
        k=k,
        negative_edges=negative_edges,
        overwrite=overwrite,
    )
    result = write_model(request)
    if json:
        show_json(result._asdict())
        return
    show(
        f"network  {result.layers} layers, {result.width} wide, {result.heads} heads",
        f"genes    {result.genes}, {result.graph_edges} edges",
        f"knows    {result.perturbations} perturbations",
        f"tests    {result.test} conditions",
        f"model    {result.model}",
    )
