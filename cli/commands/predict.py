"""The command that predicts cells of conditions that nobody has measured."""

from collections.abc import Container
from pathlib import Path

from cli.names import Known, contexts_of, from_text_or_file
from cli.options import Address, Commands, options_of
from cli.show.progress import Bar
from cli.show.terminal import require_file, require_folder, require_there, say, show
from cli.usage import example
from cluster.options import PredictOptions
from cluster.predict.options import PredictionRequest
from scdfm.screen.address import url_of
from scdfm.screen.conditions import Words

app = Commands()


@app.command(
    epilog=example(
        "scdfm predict runs/norman/model --store stores/norman.zarr "
        "--conditions KLF1,KLF1+MAP2K6 --out predicted.h5ad --actors 2",
    )
)
@options_of(
    PredictionRequest,
    arguments={"model": "MODEL"},
    spelled={"controls": ("--with-controls",)},
)
@options_of(PredictOptions)
def predict(
    request: PredictionRequest,
    options: PredictOptions,
    address: Address = None,
) -> None:
    """Predict the cells of new conditions, as AnnData.

    Values are log1p per 10k, labels as the store writes them. Run the command again to resume a
    prediction that was stopped. `scdfm export --normalised --genes-of OUT` writes the real cells
    of the same conditions, if there are any.
    """
    if url_of(request.out) is None and request.out.suffix != ".zarr":
        require_file(request.out, suffixes=(".h5ad", ".zarr"))
    require_folder(request.out)
    require_file(options.summary, suffixes=(".csv", ".parquet"), option="--summary")
    require_there(request.model, what="run or model")
    require_there(request.store, what="store")
    from cluster.runs.find_model import model_directory

    model_directory(request.model)  # before torch is loaded
    request = _with_names_apart(request)
    with Bar("predict", unit="shards") as bar:
        from cluster.predict.actors import predict as predict_on_cluster

        written = predict_on_cluster(
            request,
            actors=options.actors,
            gpu=options.gpu,
            address=address,
            summary=options.summary,
            report=bar.progress,
        )
    if options.summary is not None:
        say(f"written: {options.summary}")
    show(f"predictions {url_of(written) or written}")


def _with_names_apart(request: PredictionRequest) -> PredictionRequest:
    """The request with lists read from files, and taken apart where no known name has a comma."""
    known: dict[str, Known] = {
        "conditions": lambda: _words(request.model, request.store),
        "contexts": contexts_of(request.store),
        "genes": lambda: _genes(request.model),
    }
    lists = {
        name: from_text_or_file(
            given, column=name.removesuffix("s"), option=f"--{name}", known=names
        )
        for name, names in known.items()
        if (given := getattr(request, name)) is not None
    }
    return request.model_copy(update=lists)


def _words(model: Path, store: str) -> Words:
    """How the model writes conditions, and the labels of the store."""
    from cluster.predict.request import words_of
    from cluster.runs.find_model import model_directory
    from data_store.store.reader import Store
    from scdfm.flow.checkpoint import read_card

    with Store.open(store) as opened:
        return words_of(read_card(model_directory(model)), opened)


def _genes(model: Path) -> Container[str]:
    """The model's genes."""
    from cluster.runs.find_model import model_directory
    from scdfm.flow.checkpoint import read_card

    return read_card(model_directory(model)).genes
