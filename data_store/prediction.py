"""Predicted cells on disk: an AnnData zarr whose rows are known before any is computed.

`lay_out` writes everything but X; `write_shard` fills one shard of X and marks it as done, in any
order, from any process; `seal` hashes the shards and writes the manifest last.
"""

import json
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
import zarr
from anndata.io import read_elem, write_elem
from numpy.typing import NDArray
from pydantic import BaseModel, NonNegativeInt, ValidationError

from data_store.disk.arrays import create, repeatable_codecs
from data_store.disk.new_file import committed_file
from data_store.store.integrity import Fault
from data_store.store.schema import MANIFEST, ShardRecord
from scdfm.screen.atomic import sha256, write_text

CHUNK_CELLS = 64
MARKS = ".done"  # beside X: one file for each shard that is written


class PredictionManifest(BaseModel, frozen=True, extra="forbid"):
    """What a prediction holds, and the hash of every shard."""

    kind: Literal["prediction"] = "prediction"
    cells: NonNegativeInt
    genes: NonNegativeInt
    facts: dict[str, Any]  # request, model, store, threads, batch, gene blocks
    shards: tuple[ShardRecord, ...]


def lay_out(
    path: Path, *, obs: pd.DataFrame, genes: tuple[str, ...], facts: dict[str, Any], rows: int
) -> None:
    """Write an AnnData zarr with X still empty.

    Args:
        path: A directory that is empty or not there.
        obs: One row for each cell to come.
        genes: Names of the columns.
        facts: Provenance; kept as JSON in uns.
        rows: Cells of a shard, a multiple of CHUNK_CELLS.
    """
    group = zarr.open_group(path, mode="w", zarr_format=3)
    group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    with anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=False):
        write_elem(group, "obs", obs)
        write_elem(group, "var", pd.DataFrame(index=pd.Index(genes)))
        write_elem(group, "uns", {"scdfm": {"provenance": json.dumps(facts, sort_keys=True)}})
        for name in ("layers", "obsm", "obsp", "varm", "varp"):
            write_elem(group, name, {})
    create(
        group,
        "X",
        shape=(len(obs), len(genes)),
        dtype=np.float32,
        chunks=(CHUNK_CELLS, len(genes)),
        shards=(rows, len(genes)),
    )
    with warnings.catch_warnings():
        # Readers then need not list the directory, where our own files would puzzle them. That it
        # is not yet in the zarr v3 specification is known.
        warnings.simplefilter("ignore", UserWarning)
        zarr.consolidate_metadata(group.store)
    (path / MARKS).mkdir()


def write_shard(path: Path, shard: int, values: NDArray[np.float32], *, rows: int) -> None:
    """Write one shard of X, (cells, genes), and mark it as done."""
    with repeatable_codecs():
        matrix: Any = zarr.open_array(path / "X", mode="r+")
        matrix[shard * rows : shard * rows + len(values)] = values
    file = _shard_file(path, shard)
    mark = path / MARKS / str(shard)
    draft = mark.with_name(f"{shard}.{os.getpid()}.tmp")
    write_text(draft, sha256(file))
    draft.replace(mark)


def is_written(path: Path, shard: int) -> bool:
    """Whether a shard is there, whole, as `write_shard` left it."""
    mark, file = path / MARKS / str(shard), _shard_file(path, shard)
    return mark.is_file() and file.is_file() and sha256(file) == mark.read_text()


def seal(path: Path, *, facts: dict[str, Any]) -> None:
    """Write the manifest: from now on the prediction is complete."""
    root: Any = zarr.open_group(path, mode="r")
    cells, genes = root["X"].shape
    files = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and file.parent.name != MARKS and file.name != MANIFEST
    )
    shards = tuple(
        ShardRecord(
            path=file.relative_to(path).as_posix(), bytes=file.stat().st_size, sha256=sha256(file)
        )
        for file in files
    )
    manifest = PredictionManifest(cells=cells, genes=genes, facts=facts, shards=shards)
    draft = path / MARKS / MANIFEST
    write_text(draft, manifest.model_dump_json(indent=1))
    draft.replace(path / MANIFEST)


def discard_marks(path: Path) -> None:
    """Remove what only an unfinished prediction needs."""
    shutil.rmtree(path / MARKS, ignore_errors=True)


def read_facts(path: Path) -> dict[str, Any] | None:
    """Provenance of a complete prediction, .zarr or .h5ad; None for anything else."""
    try:
        if path.is_dir():
            return read_prediction_manifest(path).facts
        with h5py.File(path) as file:
            text = file["uns/scdfm/provenance"][()]
    except (OSError, KeyError, ValueError):
        return None
    facts = json.loads(text)
    return facts if isinstance(facts, dict) else None


def read_prediction_manifest(path: Path) -> PredictionManifest:
    """The manifest of a prediction.

    Raises:
        ValueError: It is no prediction, or it was never finished.
    """
    file = path / MANIFEST
    if not file.is_file():
        raise ValueError(
            f"expected a prediction with {MANIFEST}, got {path} without one; predict again"
        )
    try:
        return PredictionManifest.model_validate_json(file.read_text())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(
            f"expected the manifest of a prediction in {file}, {where}: {first['msg']}"
        ) from None


def verify_prediction(path: Path) -> list[Fault]:
    """Compare every file of a prediction with its manifest."""
    faults = []
    for shard in read_prediction_manifest(path).shards:
        file = path / shard.path
        if not file.is_file():
            faults.append(Fault(shard.path, "missing"))
        elif sha256(file) != shard.sha256:
            faults.append(Fault(shard.path, "its bytes changed"))
    return faults


def write_h5ad(path: Path, out: Path) -> None:
    """Copy a prediction to an .h5ad file, a shard at a time, sparse: most values are zero."""
    root: Any = zarr.open_group(path, mode="r")
    matrix = root["X"]
    with committed_file(out) as draft, h5py.File(draft, "w") as file:
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
        for name in ("obs", "var", "uns", "layers", "obsm", "obsp", "varm", "varp"):
            write_elem(file, name, read_elem(root[name]) if name in root else {})
        genes = matrix.shape[1]
        write_elem(file, "X", sp.csr_matrix(np.zeros((0, genes), dtype=np.float32)))
        stored = anndata.io.sparse_dataset(file["X"])
        for block in _blocks(matrix):
            stored.append(sp.csr_matrix(block))


def _blocks(matrix: Any) -> Iterator[NDArray[np.float32]]:
    rows = matrix.shards[0]
    for start in range(0, matrix.shape[0], rows):
        yield np.asarray(matrix[start : start + rows])


def _shard_file(path: Path, shard: int) -> Path:
    return path / "X" / "c" / str(shard) / "0"
