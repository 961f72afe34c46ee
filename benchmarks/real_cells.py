"""The real screens that results are shown on, and how their files are read.

The folder with the files is named by SCDFM_DATA; nothing of it is kept in the project.
"""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NORMAN = ("KLF1+MAP2K6", "KLF1+TGFBR2", "MAPK1+TGFBR2", "MAP2K3+MAP2K6", "MAP2K3+SLC38A2")


@dataclass(frozen=True)
class Screen:
    """Real cells, how they are read, and the splits that they are judged on.

    Attributes:
        name: Of the file in SCDFM_DATA, without its ending.
        ingest: Further words of `scdfm ingest`, with spaces.
        splits: One run for each.
        settings: Further settings of its runs.
    """

    name: str
    ingest: str
    splits: tuple[dict[str, Any], ...]
    settings: dict[str, Any] = field(default_factory=dict)

    def file(self, data: Path) -> Path:
        """Where its cells are."""
        return data / f"{self.name}.h5ad"

    def store(self, data: Path, *, work: Path) -> Path:
        """Its store, made in a folder where it is missing."""
        return ingested(self.file(data), work / f"{self.name}.zarr", words=self.ingest)


def each(kind: str, count: int, **more: Any) -> tuple[dict[str, Any], ...]:
    """The splits of a kind: its folds, or left-out contexts."""
    return tuple({"kind": kind, "fold": fold, **more} for fold in range(count))


def ingested(source: Path, store: Path, *, words: str = "") -> Path:
    """The store of a file, made where it is missing."""
    if not store.exists():
        subprocess.run(["scdfm", "ingest", source, store, *words.split()], check=True)
    return store


SCREENS = (
    Screen(
        "norman_subset",
        "--layer counts --perturbation gene",
        # Its only doubles with both singles: the split has no folds.
        ({"kind": "list", "test": list(NORMAN)},),
    ),
    Screen(
        "papalexi",
        "--condition-column perturbation --context-column bio_rep --perturbation gene",
        each("holdout", 4),
    ),
    Screen(
        "glioblastoma_panobinostat",
        "--condition-column condition --context-column patient_id --perturbation drug",
        each("context", 5),
    ),
    Screen(
        "mcfaline_subset",
        "--layer counts --context-column cell_type --perturbation gene",
        each("context", 3),
    ),
)
