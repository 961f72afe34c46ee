"""The command that looks for what would break training."""

from pathlib import Path
from typing import Annotated

import typer

from cli.errors import FaultsError
from cli.options import Address, Commands, Json
from cli.show.terminal import show, show_json
from cli.usage import example

app = Commands()


@app.command(
    epilog=example(
        "scdfm doctor", "scdfm doctor --address 10.0.0.5:6379 --output /shared/runs --gpu"
    )
)
def doctor(
    output: Annotated[
        Path, typer.Option(help="Folder of runs, which all nodes must see and write.")
    ] = Path("runs"),
    store: Annotated[
        str | None, typer.Option(help="Store that all nodes must read.", show_default="none")
    ] = None,
    gpu: Annotated[bool, typer.Option("--gpu/--no-gpu", help="Expect GPUs.")] = False,
    address: Address = None,
    json: Json = False,
) -> None:
    """Look for what would break training, here or on a cluster.

    On every node: versions, names of packages, GPUs, memory, clocks, storage and ports. Each fault
    comes with what to do; the exit status is 1 if one would break training.
    """
    from cli.show.nodes import pages
    from cluster.nodes.doctor import as_plain, examine
    from cluster.nodes.examine import Needs
    from scdfm.screen.address import url_of

    place = (url_of(store) or str(Path(store).absolute())) if store is not None else None
    found = examine(Needs(outputs=(output,), store=place, gpu=gpu), address=address)
    if json:
        show_json(as_plain(found))
    else:
        show(*pages(found, output=output))
    if not found.fit:
        raise FaultsError
