"""The option that says how precisely a model computes."""

from typing import Annotated, Literal

import typer

Precision = Annotated[
    Literal["auto", "float32", "bf16"],
    typer.Option(help="Of products; auto is float32 on CPU, bf16 on a GPU."),
]
