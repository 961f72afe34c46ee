"""What takes turns in `stream.py`: each draws batches of 64 + 64 cells and 1,000 genes."""

import argparse
import importlib
import os
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from rounds import Facts, serve, status
from screens import Screen, write_screen

from data_store.ingest.write import IngestOptions, ingest
from data_store.store.reader import Store
from data_store.stream import Batch, BatchConfig, Cells, Stream

CELLS, GENES = 64, 1_000
CONFIG = BatchConfig(conditions=1, cells=CELLS, genes=GENES)


def prepare(path: Path, screen: Screen, *, keep_source: bool) -> None:
    """Make the store `path`.zarr, unless it is there, and leave `path`.h5ad where it is needed."""
    source, store = path.with_suffix(".h5ad"), path.with_suffix(".zarr")
    if store.exists() and (source.exists() or not keep_source):
        return
    write_screen(source, screen)
    ingest(source, store, options=IngestOptions(context_column="context", perturbation="gene"))
    if not keep_source:
        source.unlink()


def ours(options: argparse.Namespace) -> None:
    """Batches from a store, read ahead."""
    imports = status("VmRSS")
    path = options.at.with_suffix(".zarr")
    for file in path.glob("cells.zarr/X/**/*"):
        if file.is_file():
            file.read_bytes()
    with Store.open(path) as store:
        batches = _stream(store).batches()
        for _ in range(2 * options.batches):
            next(batches)

        def work() -> Facts:
            for _, batch in zip(range(options.batches), batches, strict=False):
                _check(batch)
            return {"batches": options.batches}

        serve(work, imports=imports)
        batches.close()


def cold(options: argparse.Namespace) -> None:
    """The first batch from a store of which the machine holds nothing in memory."""
    path = options.at.with_suffix(".zarr")

    def work() -> Facts:
        for file in path.rglob("*"):
            if file.is_file():
                _forget(file)
        start = time.perf_counter()
        with Store.open(path) as store:
            _check(_stream(store).batch(0))
        return {"batches": 1, "first": time.perf_counter() - start}

    serve(work, imports=status("VmRSS"))


def csr(options: argparse.Namespace) -> None:
    """The same from counts in memory, by scipy."""
    imports = status("VmRSS")
    cells = anndata.read_h5ad(options.at.with_suffix(".h5ad"))
    counts: Any = cells.X
    scale = (10_000 / np.asarray(counts.sum(axis=1)).ravel()).astype(np.float32)
    codes = cells.obs["condition"].cat.codes.to_numpy()
    rows = [np.flatnonzero(codes == code) for code in range(codes.max() + 1)]
    index = count()

    def dense(chosen: NDArray[np.int64], genes: NDArray[np.int64]) -> NDArray[np.float32]:
        part: sp.csr_matrix = counts[chosen][:, genes]
        part.data *= np.repeat(scale[chosen], np.diff(part.indptr))
        np.log1p(part.data, out=part.data)
        values: NDArray[np.float32] = part.toarray()
        return values

    def work() -> Facts:
        for _ in range(options.batches):
            draw = np.random.default_rng((0, next(index)))
            target = rows[draw.integers(1, len(rows))]
            genes = np.sort(draw.choice(counts.shape[1], size=GENES, replace=False))
            for of in (target, rows[0]):
                few = len(of) < CELLS  # in a screen made smaller to try
                values = dense(draw.choice(of, size=CELLS, replace=few), genes)
                assert values.shape == (CELLS, GENES)
        return {"batches": options.batches}

    serve(work, imports=imports)


def release(options: argparse.Namespace) -> None:
    """The release's dataset, read as its script reads it, by as many processes as ours has threads.

    Its step then takes 1,000 of the genes.
    """
    import torch
    from peer import script

    script(options.release)
    module = importlib.import_module("src.data_process.data")
    imports = status("VmRSS")
    torch.set_num_threads(1)
    cells = _as_the_release_has_them(options.at.with_suffix(".h5ad"))
    names = sorted({*cells.obs["Drug1"], *cells.obs["Drug2"]})
    ids = {name: k for k, name in enumerate(names)}
    sampler = module.TrainSampler("norman", cells, ["Drug1", "Drug2"], ids)
    loader = iter(
        torch.utils.data.DataLoader(
            module.PerturbationDataset(sampler, CELLS), batch_size=1, num_workers=2
        )
    )

    def work() -> Facts:
        for _ in range(options.batches):
            batch = next(loader)
            genes = torch.randperm(cells.n_vars)[:GENES]
            for part in ("src_cell_data", "tgt_cell_data"):
                assert batch[part].squeeze(0)[:, genes].shape == (CELLS, GENES)
        return {"batches": options.batches}

    serve(work, imports=imports)


SIDES: dict[str, Callable[[argparse.Namespace], None]] = {
    "ours": ours,
    "cold": cold,
    "csr": csr,
    "release": release,
}


def _as_the_release_has_them(path: Path) -> anndata.AnnData:
    """Log values in memory, and two columns of tokens."""
    cells = anndata.read_h5ad(path)
    counts: Any = cells.X
    sums = np.asarray(counts.sum(axis=1)).ravel()
    counts.data = np.log1p(counts.data * np.repeat(10_000 / sums, np.diff(counts.indptr)))
    counts.data = counts.data.astype(np.float32)
    cells.obs["Drug1"] = cells.obs["condition"].astype(str)
    cells.obs["Drug2"] = "control"
    return cells


def _stream(store: Store) -> Stream:
    units = enumerate(store.units)
    targets = [Cells(k, unit.start, unit.stop) for k, unit in units if not unit.is_control]
    genes = np.arange(store.manifest.genes)
    return Stream(store, targets=targets, genes=genes, config=CONFIG, seed=0)


def _check(batch: Batch) -> None:
    assert batch.target.shape == batch.control.shape == (CELLS, GENES)


def _forget(file: Path) -> None:
    """Drop a file's pages from memory."""
    handle = os.open(file, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)
