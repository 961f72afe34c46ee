"""Small files of every format, and ways to damage them."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.io import write_elem

CELLS, GENES = 90, 40
TEXT = h5py.string_dtype()


class Made(NamedTuple):
    """An undamaged file and how it is ingested."""

    path: Path  # file or folder
    damaged: Path  # the file in it that is damaged
    options: tuple[str, ...] = ()


def screen() -> anndata.AnnData:
    """A screen in which every cell has counts."""
    draw = np.random.default_rng(5)
    counts = draw.poisson(draw.gamma(1, 2, GENES), (CELLS, GENES)).astype(np.float32)
    counts[:, 0] += 1
    obs = pd.DataFrame(
        {"condition": ["ctrl", "A", "B", "A+B", "C"] * (CELLS // 5), "n": np.arange(CELLS)},
        index=[f"cell{k}" for k in range(CELLS)],
    )
    var = pd.DataFrame(index=["A", "B", "C", *(f"g{k}" for k in range(GENES - 3))])
    return anndata.AnnData(
        sp.csr_matrix(counts), obs=obs.astype({"condition": "category"}), var=var
    )


def h5ad(folder: Path) -> Made:
    """CSR, not compressed, as anndata writes it."""
    screen().write_h5ad(folder / "cells.h5ad")
    return Made(folder / "cells.h5ad", folder / "cells.h5ad")


def h5ad_gzip(folder: Path) -> Made:
    """CSC in compressed chunks."""
    cells = screen()
    cells.X = cells.X.tocsc()
    cells.write_h5ad(folder / "cells.h5ad", compression="gzip")
    return Made(folder / "cells.h5ad", folder / "cells.h5ad")


def dense(folder: Path) -> Made:
    """A dense matrix and a nullable column."""
    cells = screen()
    cells.X = cells.X.toarray()
    cells.obs["maybe"] = pd.array([True, None, False] * (CELLS // 3), dtype="boolean")
    cells.write_h5ad(folder / "cells.h5ad")
    return Made(folder / "cells.h5ad", folder / "cells.h5ad")


def packed(folder: Path) -> Made:
    """An .h5ad in gzip."""
    path = h5ad(folder).path
    (folder / "cells.h5ad.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
    path.unlink()
    return Made(folder / "cells.h5ad.gz", folder / "cells.h5ad.gz")


def h5mu(folder: Path) -> Made:
    """Two modalities."""
    path = folder / "cells.h5mu"
    with h5py.File(path, "w") as file:
        write_elem(file, "obs", screen().obs)
        write_elem(file, "var", pd.DataFrame(index=screen().var_names))
        for name in ("rna", "prot"):
            write_elem(file, f"mod/{name}", screen())
            file[f"obsmap/{name}"] = np.arange(1, CELLS + 1, dtype=np.uint32)
    return Made(path, path)


def loom(folder: Path) -> Made:
    """Genes x cells."""
    path, cells = folder / "cells.loom", screen()
    with h5py.File(path, "w") as file:
        file.create_dataset("matrix", data=cells.X.toarray().T, chunks=(8, 16), compression="gzip")
        file.create_dataset("row_attrs/Gene", data=list(cells.var_names), dtype=TEXT)
        file.create_dataset("col_attrs/CellID", data=list(cells.obs_names), dtype=TEXT)
        file.create_dataset("col_attrs/condition", data=list(cells.obs["condition"]), dtype=TEXT)
        for name in ("layers", "row_graphs", "col_graphs"):
            file.create_group(name)
    return Made(path, path)


def tenx(folder: Path) -> Made:
    """CellRanger's .h5 with a table of labels."""
    path, cells = folder / "matrix.h5", screen()
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(cells.obs_names, dtype="S")
        group["data"], group["indices"] = cells.X.data.astype(np.int32), cells.X.indices
        group["indptr"] = cells.X.indptr
        group["shape"] = np.array(cells.shape[::-1], dtype=np.int32)
        features = group.create_group("features")
        features["id"] = features["name"] = np.array(cells.var_names, dtype="S")
        features["feature_type"] = np.array(["Gene Expression"] * GENES, dtype="S")
    return Made(path, path, ("--cells", str(_labels(folder))))


def mtx(folder: Path, *, name: str = "matrix.mtx") -> Made:
    """CellRanger's folder, plain."""
    inside, cells = folder / "outs", screen()
    inside.mkdir()
    parts = sp.coo_matrix(cells.X)
    lines = [f"{g + 1} {c + 1} {int(v)}" for c, g, v in zip(parts.row, parts.col, parts.data,
                                                            strict=True)]  # fmt: skip
    head = f"%%MatrixMarket matrix coordinate integer general\n{GENES} {CELLS} {len(lines)}\n"
    _put(inside / name, head + "\n".join(lines) + "\n")
    end = ".gz" if name.endswith(".gz") else ""
    genes = "".join(f"E{k}\t{gene}\tGene Expression\n" for k, gene in enumerate(cells.var_names))
    _put(inside / f"features.tsv{end}", genes)
    _put(inside / f"barcodes.tsv{end}", "".join(f"{name}\n" for name in cells.obs_names))
    return Made(inside, inside / name, ("--cells", str(_labels(folder))))


def mtx_gz(folder: Path) -> Made:
    """The same in gzip."""
    return mtx(folder, name="matrix.mtx.gz")


def features(folder: Path) -> Made:
    """Its table of genes."""
    made = mtx(folder)
    return made._replace(damaged=made.path / "features.tsv")


def table(folder: Path) -> Made:
    """A table of labels, .csv."""
    made = mtx(folder)
    return made._replace(damaged=folder / "labels.csv")


def parquet(folder: Path) -> Made:
    """A table of labels, .parquet."""
    made, path = mtx(folder), folder / "labels.parquet"
    pd.read_csv(folder / "labels.csv").to_parquet(path)
    return made._replace(damaged=path, options=("--cells", str(path)))


def _labels(folder: Path) -> Path:
    labels = screen().obs[["condition"]].rename_axis("barcode")
    labels.to_csv(folder / "labels.csv")
    return folder / "labels.csv"


def _put(path: Path, text: str) -> None:
    path.write_bytes(gzip.compress(text.encode(), 1) if path.suffix == ".gz" else text.encode())


MAKE: dict[str, Callable[[Path], Made]] = {
    "h5ad": h5ad, "h5ad_gzip": h5ad_gzip, "dense": dense, "packed": packed, "h5mu": h5mu,
    "loom": loom, "tenx": tenx, "mtx": mtx, "mtx_gz": mtx_gz, "features": features,
    "table": table, "parquet": parquet,
}  # fmt: skip


def cut(path: Path, draw: np.random.Generator) -> None:
    """Leave the beginning."""
    content = path.read_bytes()
    path.write_bytes(content[: int(draw.integers(0, len(content)))])


def bits(path: Path, draw: np.random.Generator) -> None:
    """Flip one to four bits."""
    content = bytearray(path.read_bytes())
    for _ in range(int(draw.integers(1, 5))):
        content[int(draw.integers(0, len(content)))] ^= 1 << int(draw.integers(0, 8))
    path.write_bytes(content)


def zeros(path: Path, draw: np.random.Generator) -> None:
    """A block of zeros, as a lost page of a disk leaves it."""
    content = bytearray(path.read_bytes())
    start = int(draw.integers(0, len(content)))
    stop = min(len(content), start + int(draw.integers(8, 4_096)))
    content[start:stop] = bytes(stop - start)
    path.write_bytes(content)


def part(path: Path, draw: np.random.Generator) -> None:
    """An HDF5 element removed, shortened or of another type; in text, a line."""
    if not h5py.is_hdf5(path):
        return _line(path, draw)
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = names[int(draw.integers(0, len(names)))]
        element, way = file[name], int(draw.integers(0, 4))
        marks = dict(element.attrs)
        if way == 0 or not isinstance(element, h5py.Dataset) or not element.shape:
            if way == 1 and marks:
                del element.attrs[[*marks][int(draw.integers(0, len(marks)))]]
                return None
            del file[name]
            if way == 2:
                file[name] = np.arange(3.0)
            return None
        values = element[:]
        del file[name]
        if way == 1:
            values = values[: len(values) // 2]
        elif way == 2:
            values = np.array([f"t{k}" for k in range(len(values))], dtype="S")
        else:
            values = np.linspace(-1, 1, len(values)) if values.dtype.kind != "f" else (
                values.astype(np.int64) - 1
            )  # fmt: skip
        file[name] = values
        file[name].attrs.update(marks)
    return None


def _line(path: Path, draw: np.random.Generator) -> None:
    raw = path.read_bytes()
    zipped = raw[:2] == b"\x1f\x8b"
    lines = (gzip.decompress(raw) if zipped else raw).split(b"\n")
    at, way = int(draw.integers(0, len(lines))), int(draw.integers(0, 5))
    fields = lines[at].split(b" " if b" " in lines[at] else b"," if b"," in lines[at] else b"\t")
    some = b" ".join(fields[:-1])
    twice = lines[at] + b"\n" + lines[at]
    lines[at : at + 1] = [[], [twice], [some], [some + b" x"], [some + b" -1.5"]][way]
    text = b"\n".join(lines)
    path.write_bytes(gzip.compress(text, 1) if zipped else text)


DAMAGE: dict[str, Callable[[Path, np.random.Generator], None]] = {
    "cut": cut, "bits": bits, "zeros": zeros, "part": part,
}  # fmt: skip
