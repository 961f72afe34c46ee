"""How `scdfm doctor` shows machines and their faults."""

from pathlib import Path
from typing import TYPE_CHECKING

from cli.show.tables import Column, Grid, Row

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cluster.nodes.examine import Examined, Given
    from cluster.nodes.facts import NodeFacts

_GB = 2**30
_COLUMNS = ("python", "scdfm", "ray", "torch", "CPUs", "GPUs", "free GB", "shm GB", "temp GB")


def pages(found: "Examined", *, output: Path) -> list["RenderableType"]:
    """A table of the machines, then a line for each fault.

    Args:
        found: What was found.
        output: The folder that was looked for.
    """
    rows = [
        Row([name, *_cells(facts, given=found.given.get(name))])
        for name, facts in found.nodes.items()
    ]
    table = Grid([Column("node", "left"), *map(Column, _COLUMNS)], rows)
    broken = [fault for fault in found.faults if fault.breaks]
    lines = [f"fault: {fault.line}" for fault in broken]
    lines += [f"warning: {fault.line}" for fault in found.faults if not fault.breaks]
    if not any(fault.what.startswith(("output ", "cannot write ")) for fault in broken):
        lines.append(f"output {output.absolute()}: written and seen by all of {len(rows)}")
    if not broken:
        lines.append("nothing found that would break training")
    return [table, *lines]


def _cells(facts: "NodeFacts", *, given: "Given | None") -> list[str]:
    versions = (facts.versions.get(name) or "-" for name in ("python", "scdfm", "ray", "torch"))
    free = (facts.memory_free, facts.shared_memory, facts.temporary_free)
    cpus = _free(given.cpus_free, given.cpus) if given else str(facts.cpus)
    return [*versions, cpus, _gpus(facts, given=given), *map(_gigabytes, free)]


def _gpus(facts: "NodeFacts", *, given: "Given | None") -> str:
    if facts.cuda is None:
        return "no CUDA"
    return _free(given.gpus_free, given.gpus) if given else str(len(facts.gpus))


def _free(free: float, total: float) -> str:
    """What Ray still gives away, and what it had."""
    return f"{free:g} of {total:g}"


def _gigabytes(amount: int | None) -> str:
    return "-" if amount is None else f"{amount / _GB:.1f}"
