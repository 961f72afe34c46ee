"""What is known about a published file, but not written in it."""

from dataclasses import dataclass

from data_store.store.schema import Perturbation


@dataclass(frozen=True)
class Recipe:
    """How a published file is read."""

    file: str  # that it was written for
    conditions: tuple[str, ...]  # obs columns, the first one that is there
    layers: tuple[str, ...]  # with counts, the first one that is there
    control: tuple[str, ...]  # labels
    perturbation: Perturbation
    gene_column: str | None = None  # of var, where it has it
    drop: tuple[str, ...] = ()  # conditions left out, where they occur; tokens joined by +
