"""The command that makes a model from a checkpoint of the authors' code."""

from cli.names import in_order, tokens_of
from cli.options import Commands, Json, options_of
from cli.show.terminal import require_there, show, show_json
from cli.usage import example
from cluster.release.request import ImportRequest

app = Commands()


@app.command(
    "import-release",
    epilog=example(
        "scdfm import-release checkpoint.pt models/norman --store stores/norman.zarr "
        "--mask mask_fold_1topk_30additive_negative_edge.pt --vocabulary norman_vocab.json "
        "--fold 1",
    ),
)
@options_of(ImportRequest, arguments={"checkpoint": "CHECKPOINT.pt", "model": "MODEL"})
def import_release(
    request: ImportRequest,
    json: Json = False,
) -> None:
    """Make a model from a checkpoint of the authors' code.

    `scdfm evaluate`, `predict` and `inspect` take it like a model of ours.
    """
    require_there(request.checkpoint, what="checkpoint")
    require_there(request.store, what="store")
    for name in ("mask", "vocabulary", "split"):
        if (place := getattr(request, name)) is not None:
            require_there(place, what=name)
    if request.perturbations is not None:
        order = in_order(
            request.perturbations,
            column="perturbation",
            option="--perturbations",
            known=tokens_of(request.store),
        )
        request = request.model_copy(update={"perturbations": order})
    from cluster.release.import_release import import_release as write_model

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
