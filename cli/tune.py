"""The command that searches settings."""

import typer

app = typer.Typer()
