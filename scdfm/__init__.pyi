"""Types of the front door. What a function does stands where it is defined; help() shows it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from anndata import AnnData

from cluster.door.cells import control_cells as control_cells
from cluster.door.cells import open_store as open_store
from cluster.door.intervals import intervals as intervals
from cluster.door.model import TrainedModel as TrainedModel
from cluster.door.model import load_model as load_model
from cluster.door.runs import train as train
from cluster.door.score import score as score
from cluster.door.scores import evaluate as evaluate
from cluster.settings.choices import Precision
from cluster.settings.config import RunConfig as RunConfig
from data_store.store.reader import Store as Store
from scdfm import metrics as metrics
from scdfm.metrics import baselines as baselines
from scdfm.splits import Split
from sweeps.door import tune as tune

__version__: str
__all__: list[str]

def simulate(
    *,
    cells: int = 5_000,
    genes: int = 1_000,
    singles: int | None = None,
    doubles: int | None = None,
    contexts: int = 1,
    seed: int = 0,
) -> AnnData: ...
def ingest(
    source: str | Path | Sequence[str | Path] | AnnData,
    store: str | Path,
    *,
    recipe: str | None = None,
    cells: Sequence[str | Path] = (),
    modality: str | None = None,
    feature_type: Sequence[str] = (),
    gene_column: str | None = None,
    sha256: Sequence[str] = (),
    condition_column: str | Sequence[str] = (),
    control: Sequence[str] = (),
    guides: str | Path | None = None,
    multi_guide: Literal["set", "drop"] = "set",
    separator: str | None = None,
    context_column: str | Sequence[str] = (),
    layer: str | None = None,
    normalised: bool = False,
    round: bool = False,
    library_size_column: str | None = None,
    perturbation: Literal["gene", "drug"] | None = None,
    min_cells: int = 0,
    min_condition_cells: int = 1,
    genes: int | None = None,
    gene_list: Sequence[str] = (),
    exclude: Sequence[str] = (),
    drop_unlabelled: bool = False,
    drop_uncontrolled: bool = False,
    join: Literal["same", "intersect", "union"] = "same",
    remote: bool = False,
    seed: int = 0,
    memory: int | str = "1GB",
    workers: int = 1,
    overwrite: bool = False,
    append: bool = False,
) -> Store: ...
def make_split(
    store: str | Path | Store,
    *,
    kind: str,
    fold: int = 0,
    seed: int = 42,
    fraction: float | None = None,
    genes: int | None = None,
    context: str | None = None,
    path: str | Path | None = None,
    test: Sequence[str] | None = None,
    validation: Sequence[str] | None = None,
) -> Split: ...
def predict(
    model: TrainedModel | str | Path,
    *,
    store: str | Path | Store,
    actors: int = 1,
    gpu: bool = False,
    address: str | None = None,
    summary: str | Path | None = None,
    conditions: Sequence[str],
    contexts: Sequence[str] | None = None,
    cells: int = 256,
    genes: Sequence[str] | None = None,
    seed: int = 0,
    interval: float = 0.9,
    precision: Precision = "auto",
    controls: bool = False,
    out: str | Path,
    overwrite: bool = False,
) -> Path: ...
