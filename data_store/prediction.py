"""Predicted cells on disk: an AnnData zarr whose rows are known before any is computed.

`lay_out` writes everything but X; `write_shard` fills one shard of X and marks it as done, in any
order, from any process; `seal` hashes the shards and writes the manifest last. Until then,
rows that are not written read as NaN.
"""

import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata.io import read_elem, sparse_dataset, write_elem
from numpy.typing import NDArray
from pydantic import BaseModel, JsonValue, NonNegativeInt, ValidationError

from data_store.disk.arrays import create, repeatable_codecs
from data_store.disk.h5ad import append_rows
from data_store.disk.new_file import committed_file
from data_store.store.integrity import Fault
from data_store.store.schema import LOG, MANIFEST, ShardRecord
from scdfm.screen.atomic import sha256, write_text

CHUNK_CELLS = 64
MARKS = ".done"  # next to X: one file for each written shard

Facts = dict[str, JsonValue]
"""Where a prediction comes from, as whoever made it says."""


class PredictionManifest(BaseModel, frozen=True, extra="forbid"):
    """What a prediction holds, and the hash of every shard."""

    kind: Literal["prediction"] = "prediction"
    cells: NonNegativeInt
    genes: NonNegativeInt
    facts: Facts
    shards: tuple[ShardRecord, ...]


@dataclass(frozen=True)
class PredictionDirectory:
    """The files of one prediction, finished or not."""

    path: Path

    def lay_out(
        self, *, obs: pd.DataFrame, genes: tuple[str, ...], control: str, facts: Facts, rows: int
    ) -> None:
        """Write all but X; replace whatever is there.

        Args:
            obs: One row for each cell to come.
            genes: Names of the columns.
            control: Label of the control.
            facts: Provenance; kept as JSON in uns.
            rows: Cells of a shard, a multiple of CHUNK_CELLS.
        """
        group = zarr.open_group(self.path, mode="w", zarr_format=3)
        group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        provenance = json.dumps(facts, sort_keys=True)
        uns = {"scdfm": {"provenance": provenance, "scale": LOG, "control": control}}
        with anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False):
            write_elem(group, "obs", obs)
            write_elem(group, "var", pd.DataFrame(index=pd.Index(genes)))
            write_elem(group, "uns", uns)
            for name in ("layers", "obsm", "obsp", "varm", "varp"):
                write_elem(group, name, {})
        _create_values(group, cells=len(obs), genes=len(genes), rows=rows)
        _consolidate(group)
        self._marks.mkdir()

    def add(self, name: str, value: Any) -> None:
        """Put something that AnnData can hold beside the cells, into uns["scdfm"]."""
        group = zarr.open_group(self.path, mode="r+", use_consolidated=False)
        with anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False):
            write_elem(group["uns/scdfm"], name, value)
        _consolidate(group)

    def lay_out_values(self, *, cells: int, genes: int, rows: int) -> None:
        """Lay out X alone, where shards are made that belong elsewhere."""
        _create_values(
            zarr.open_group(self.path, mode="w", zarr_format=3), cells=cells, genes=genes, rows=rows
        )
        self._marks.mkdir()

    def write_shard(self, shard: int, values: NDArray[np.float32]) -> Path:
        """Write one shard of X, (cells, genes), and mark it as done; its file.

        Raises:
            ValueError: A value is not finite.
        """
        if not np.isfinite(values).all():
            raise ValueError(
                "expected finite expression from the model, got NaN or infinity; its training "
                "diverged: train again with a smaller training.learning_rate"
            )
        with repeatable_codecs():
            matrix: Any = zarr.open_array(self.path / "X", mode="r+")
            rows = matrix.shards[0]
            matrix[shard * rows : shard * rows + len(values)] = values
        self.mark(shard)
        return self._shard_file(shard)

    def place_of_shard(self, shard: int) -> Path:
        """Where the file of a shard belongs."""
        file = self._shard_file(shard)
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def mark(self, shard: int) -> None:
        """Mark a shard as done whose file is there."""
        write_text(self._marks / str(shard), sha256(self._shard_file(shard)))

    def is_written(self, shard: int) -> bool:
        """Whether a shard is complete, as `write_shard` left it."""
        mark, file = self._marks / str(shard), self._shard_file(shard)
        return mark.is_file() and file.is_file() and sha256(file) == mark.read_text()

    def seal(self, facts: Facts) -> None:
        """Write the manifest: from now on the prediction is complete.

        Raises:
            ValueError: A shard was never written.
        """
        matrix: Any = zarr.open_array(self.path / "X", mode="r")
        (cells, genes), rows = matrix.shape, matrix.shards[0]
        for shard in range(-(-cells // rows)):
            if not (self._marks / str(shard)).is_file():
                raise ValueError(
                    f"expected all shards of {self.path}, got none for shard {shard}; predict again"
                )
        files = sorted(
            file
            for file in self.path.rglob("*")
            if file.is_file() and file.parent.name != MARKS and file.name != MANIFEST
        )
        shards = tuple(
            ShardRecord(
                path=file.relative_to(self.path).as_posix(),
                bytes=file.stat().st_size,
                sha256=sha256(file),
            )
            for file in files
        )
        manifest = PredictionManifest(cells=cells, genes=genes, facts=facts, shards=shards)
        write_text(self.path / MANIFEST, manifest.model_dump_json(indent=1))

    def discard_marks(self) -> None:
        """Remove what only an unfinished prediction needs."""
        shutil.rmtree(self._marks, ignore_errors=True)

    @property
    def is_sealed(self) -> bool:
        """Whether it is complete."""
        return (self.path / MANIFEST).is_file()

    def manifest(self) -> PredictionManifest:
        """What the prediction holds.

        Raises:
            ValueError: It is not a prediction, or it was never finished.
        """
        file = self.path / MANIFEST
        if not file.is_file():
            raise ValueError(
                f"expected a prediction with {MANIFEST}, got {self.path} without one; predict again"
            )
        try:
            return PredictionManifest.model_validate_json(file.read_bytes())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            got = f"one whose {where} does not fit" if where else "a damaged one"
            raise ValueError(
                f"expected the manifest of a prediction in {file}, got {got} ({first['msg']}); "
                "predict again"
            ) from None

    def verify(self) -> list[Fault]:
        """Compare every file with the manifest."""
        faults = []
        for shard in self.manifest().shards:
            file = self.path / shard.path
            if not file.is_file():
                faults.append(Fault(shard.path, "missing"))
            elif sha256(file) != shard.sha256:
                faults.append(Fault(shard.path, "its bytes changed"))
        return faults

    def write_h5ad(self, out: Path, *, overwrite: bool = False) -> None:
        """Copy to an .h5ad file, a shard at a time, sparse: most values are zero."""
        root: Any = zarr.open_group(self.path, mode="r")
        with (
            committed_file(out, overwrite=overwrite) as draft,
            h5py.File(draft, "w") as file,
        ):
            file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
            for name in ("obs", "var", "uns", "layers", "obsm", "obsp", "varm", "varp"):
                write_elem(file, name, read_elem(root[name]) if name in root else {})
            matrix = root["X"]
            blocks = (sp.csr_matrix(block) for block in _blocks(matrix))
            append_rows(file, "X", blocks, nonzero=matrix.size)

    @property
    def _marks(self) -> Path:
        return self.path / MARKS

    def _shard_file(self, shard: int) -> Path:
        return self.path / "X" / "c" / str(shard) / "0"


def _create_values(group: Any, *, cells: int, genes: int, rows: int) -> None:
    create(
        group,
        "X",
        shape=(cells, genes),
        dtype=np.float32,
        chunks=(CHUNK_CELLS, genes),
        shards=(rows, genes),
        fill_value=np.nan,
    )


def read_facts(path: Path) -> Facts | None:
    """Provenance of a complete prediction, .zarr or .h5ad; None for anything else."""
    try:
        if path.is_dir():
            return PredictionDirectory(path).manifest().facts
        with h5py.File(path) as file:
            facts = json.loads(file["uns/scdfm/provenance"][()])
    except (OSError, KeyError, ValueError):
        return None
    return facts if isinstance(facts, dict) else None


class Outline(NamedTuple):
    """What a prediction is about, without its values."""

    genes: tuple[str, ...]
    conditions: tuple[str, ...]  # labels, as it spells them
    contexts: tuple[str, ...]


def read_outline(path: Path) -> Outline:
    """Genes, conditions and contexts of a complete prediction, .zarr or .h5ad."""
    if path.is_dir():
        return _outline(zarr.open_group(path, mode="r"))
    with h5py.File(path) as file:
        return _outline(file)


Values = Callable[[int, int], NDArray[np.float32]]
"""Expression of some rows, from the first to before the last, (cells, genes)."""


@contextmanager
def opened_values(path: Path) -> Iterator[Values]:
    """The values of a complete prediction, .zarr or .h5ad, which stays on disk."""
    if path.is_dir():
        matrix: Any = zarr.open_array(path / "X", mode="r")
        yield lambda start, stop: np.asarray(matrix[start:stop])
        return
    with h5py.File(path) as file:
        rows: Any = sparse_dataset(file["X"])
        yield lambda start, stop: np.asarray(rows[start:stop].toarray())


def read_beside(path: Path, name: str) -> Any:
    """What `add` put beside the cells of a complete prediction, .zarr or .h5ad.

    Raises:
        KeyError: It is not there.
    """
    if path.is_dir():
        return read_elem(zarr.open_group(path, mode="r")[f"uns/scdfm/{name}"])
    with h5py.File(path) as file:
        return read_elem(file[f"uns/scdfm/{name}"])


def _consolidate(group: Any) -> None:
    with warnings.catch_warnings():
        # Readers then need not list the directory, where our own files would puzzle them. That
        # it is not yet in the zarr v3 specification is known.
        warnings.simplefilter("ignore", UserWarning)
        zarr.consolidate_metadata(group.store)


def _outline(group: Any) -> Outline:
    obs: Mapping[str, Any] = group["obs"]
    conditions, contexts = (read_elem(obs[name]) for name in ("condition", "context"))
    return Outline(
        genes=tuple(map(str, read_elem(group["var"]).index)),
        conditions=tuple(map(str, conditions.categories)),
        contexts=tuple(map(str, contexts.categories)),
    )


def _blocks(matrix: Any) -> Iterator[NDArray[np.float32]]:
    rows = matrix.shards[0]
    for start in range(0, matrix.shape[0], rows):
        yield np.asarray(matrix[start : start + rows])
