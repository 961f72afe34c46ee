"""The files of a run's plan, and their hashes: a flipped bit is an error, not another gene.

The run's manifest holds the hashes. A plan of an older version has none, and is read as it is.
"""

from pathlib import Path

from cluster.runs.parts.place import FOLDS
from cluster.runs.records import RunManifest
from cluster.storage.places import named
from scdfm.flow.files import GRAPH, SPLIT
from scdfm.screen import sealed
from scdfm.screen.atomic import sha256

GENES, GIVEN = "genes.json", "given.safetensors"


def plan_hashes(run: Path) -> dict[str, str]:
    """SHA-256 of each file of a plan that was written, the splits of folds included, by name."""
    files = [run / name for name in (SPLIT, GENES, GRAPH, GIVEN)]
    files += sorted((run / FOLDS).glob("*.json"))
    return {file.relative_to(run).as_posix(): sha256(file) for file in files if file.is_file()}


def require_plan(run: Path, begun: RunManifest | None) -> None:
    """Make sure that the files of a plan are as they were written.

    Args:
        run: The run's directory.
        begun: Its manifest.

    Raises:
        ValueError: A file is missing or has other bytes; names it.
    """
    if begun is not None:
        sealed.require_same(run, begun.plan, remedy=plan_remedy(run))


def plan_faults(run: Path, begun: RunManifest | None) -> list[tuple[Path, str]]:
    """Files of a plan that are not as they were written, each with what is wrong."""
    return [] if begun is None else sealed.changed(run, begun.plan)


def plan_remedy(run: Path) -> str:
    """What to do about a damaged file of a plan."""
    return f"restore the file, or delete {named(run)} to begin it again"
