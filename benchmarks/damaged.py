"""Damaged files: each ends in one line and status 2, or in the store that its content gives.

Small files of every format are cut off, have bits flipped, blocks zeroed, parts removed, types
swapped or lines changed, and are ingested in a process of their own. An outcome is

- refused: status 2, one line that holds no word of a library, nothing left behind;
- intact: the store of the undamaged file;
- as others: another store, of what anndata, scanpy or scipy read in this file, too; a flipped bit
  of a plain array is not to be noticed by anyone;
- unjudged: another store of a file that no other reader was asked about or could read: look at it;
- FAULT: anything else: a traceback, a crash, a hang, several lines, another text, other values.

    python benchmarks/damaged.py --files 150
    python benchmarks/damaged.py --only h5ad:bits:17    # one file again, with what is said
"""

import argparse
import contextlib
import gzip
import io
import multiprocessing as mp
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import anndata
import h5py
import numpy as np
import pandas as pd
import scanpy
import scipy.sparse as sp
from anndata.io import write_elem

from cli.app import run
from data_store.store.export import to_adata
from data_store.store.reader import Store

CELLS, GENES, SECONDS = 90, 40, 60
TEXT = h5py.string_dtype()
LIBRARIES = ("Traceback", "unexpected ", "h5py", "zarr.", "numpy", "pandas", "pyarrow", "Arrow",
             "Unable to", "Errno", "errno", "dtype", "object '", "literal", "axis")  # fmt: skip


class Made(NamedTuple):
    """An undamaged file and how it is ingested."""

    path: Path  # file or folder
    damaged: Path  # the file in it that is damaged
    options: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """What became of a damaged file."""

    kind: str
    said: str


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


def content(store: Path) -> pd.DataFrame:
    """Values by cell and gene, with the conditions."""
    with Store.open(store) as opened:
        cells = to_adata(opened)
    return _frame(cells, cells.obs["condition"])


def _frame(cells: anndata.AnnData, labels: pd.Series) -> pd.DataFrame:
    values = cells.X.toarray() if sp.issparse(cells.X) else np.asarray(cells.X)
    frame = pd.DataFrame(values.astype(float), index=cells.obs_names, columns=cells.var_names)
    return frame.assign(**{"/condition": labels.astype(str).to_numpy()}).sort_index()


def read_by_others(made: Made) -> pd.DataFrame | None:
    """What other readers find; None where they find nothing, or none is asked."""
    try:
        path = made.path
        if path.suffix in (".h5ad", ".gz"):
            if path.suffix == ".gz":
                plain = path.with_name("plain.h5ad")
                plain.write_bytes(gzip.decompress(path.read_bytes()))
                path = plain
            cells = anndata.read_h5ad(path)
            return _frame(cells, cells.obs["condition"])
        if path.is_dir():
            cells = scanpy.read_10x_mtx(path)
        elif path.suffix == ".h5":
            cells = scanpy.read_10x_h5(path)
        elif path.suffix == ".loom":
            with h5py.File(path) as file:
                names = [[x.decode() for x in file[place][:]] for place in
                         ("col_attrs/CellID", "row_attrs/Gene", "col_attrs/condition")]  # fmt: skip
                cells = anndata.AnnData(file["matrix"][:].T.astype(float))
            cells.obs_names, cells.var_names = names[0], names[1]
            return _frame(cells, pd.Series(names[2]))
        elif path.suffix == ".h5mu":
            with h5py.File(path) as file:
                cells = anndata.io.read_elem(file["mod/rna"])
            return _frame(cells, cells.obs["condition"])
        labels = Path(made.options[1])
        read = pd.read_parquet if labels.suffix == ".parquet" else pd.read_csv
        known = read(labels).set_index("barcode")["condition"]
        return _frame(cells, known.reindex(cells.obs_names))
    except Exception:  # noqa: BLE001 - whatever they raise, they read nothing
        return None


def judge(made: Made, store: Path, *, right: pd.DataFrame | None) -> Outcome:
    """Ingest a file and say what became of it."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = run(
            ["ingest", str(made.path), str(store), "--perturbation", "gene", *made.options]
        )
    told = [line for line in said.getvalue().splitlines() if line.startswith("scdfm: ")]
    line = "\n".join(told) or said.getvalue()[-300:]
    plain = line.replace(str(made.damaged.parent), "")
    if status == 2:
        bad = [word for word in LIBRARIES if word in plain]
        left = [path for path in store.parent.iterdir() if path.name.startswith("store")]
        fine = len(told) == 1 and not bad and not left
        return Outcome("refused" if fine else "FAULT", f"{bad or ''}{left or ''} {line}")
    if status != 0:
        return Outcome("FAULT", f"status {status}: {line}")
    if right is None:
        return Outcome("intact", "")
    found = content(store)
    if found.equals(right):
        return Outcome("intact", "")
    other = read_by_others(made)
    if other is None:
        return Outcome("unjudged", _apart(found, right))
    other = other[[name in set(found.index) for name in other.index]]
    try:
        pd.testing.assert_frame_equal(found, other, check_dtype=False, check_names=False,
                                      check_like=True)  # fmt: skip
    except AssertionError as error:
        return Outcome("FAULT", "other values: " + " ".join(str(error).split())[:300])
    return Outcome("as others", "")


def _apart(found: pd.DataFrame, right: pd.DataFrame) -> str:
    """How a store differs from that of the undamaged file."""
    if not (found.index.equals(right.index) and found.columns.equals(right.columns)):
        cells, genes = found.index.difference(right.index), found.columns.difference(right.columns)
        return f"{found.shape} of {right.shape}, other cells {[*cells][:3]}, genes {[*genes][:3]}"
    other = []
    for name in right:
        at = np.flatnonzero((right[name] != found[name]).to_numpy())
        if len(at):
            other.append(f"{name}: {right[name].iloc[at[0]]} -> {found[name].iloc[at[0]]}")
    return f"{len(other)} columns differ, {other[:4]}"


def seed_of(name: str) -> list[int]:
    """The seed of a file's damage."""
    form, damage, number = name.split(":")
    return [int(number), *map(ord, f"{form}{damage}")]


def tried(name: str, folder: Path, *, right: pd.DataFrame) -> Outcome:
    """The outcome of a file by its name, format:damage:number, in a process of its own."""
    form, damage, _ = name.split(":")
    made = MAKE[form](folder)
    DAMAGE[damage](made.damaged, np.random.default_rng(seed_of(name)))
    ours, theirs = mp.Pipe(duplex=False)

    def work() -> None:
        theirs.send(judge(made, folder / "store", right=right))

    process = mp.get_context("fork").Process(target=work)
    process.start()
    theirs.close()
    try:
        outcome = ours.recv() if ours.poll(SECONDS) else Outcome("FAULT", "it hangs")
    except EOFError:
        process.join()
        outcome = Outcome("FAULT", f"the process ended with {process.exitcode}")
    process.kill()
    process.join()
    return outcome


def measure(names: list[str], *, folder: Path) -> dict[str, Outcome]:
    """The outcome of each file."""
    (folder / "right").mkdir()
    made = h5ad(folder / "right")
    outcome = judge(made, folder / "right" / "store", right=None)
    assert outcome.kind == "intact", outcome
    right = content(folder / "right" / "store")
    found = {}
    for name in names:
        place = folder / name.replace(":", "-")
        place.mkdir()
        found[name] = tried(name, place, right=right)
        shutil.rmtree(place)
        print(f"{len(found)}/{len(names)} {name} {found[name].kind}", file=sys.stderr, flush=True)
    return found


def all_names(files: int) -> list[str]:
    """Names of so many files, formats and damages in turn."""
    kinds = [f"{form}:{damage}" for form in MAKE for damage in DAMAGE]
    return [f"{kinds[k % len(kinds)]}:{k // len(kinds)}" for k in range(files)]


def main() -> None:
    """Print outcomes by format, then every fault."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=150)
    parser.add_argument("--only", help="one file, such as h5ad:bits:17")
    asked = parser.parse_args()
    names = [asked.only] if asked.only else all_names(asked.files)
    with tempfile.TemporaryDirectory() as folder:
        found = measure(names, folder=Path(folder))
    kinds = ("refused", "intact", "as others", "unjudged", "FAULT")
    print(f"{'format':10}", *(f"{kind:>9}" for kind in kinds))
    for form in MAKE:
        counts = Counter(one.kind for name, one in found.items() if name.startswith(f"{form}:"))
        if counts:
            print(f"{form:10}", *(f"{counts[kind]:9}" for kind in kinds))
    for name, one in found.items():
        if asked.only or one.kind in ("FAULT", "unjudged"):
            print(f"{name}  {one.kind}: {one.said.strip()}")
    sys.exit(any(one.kind == "FAULT" for one in found.values()))


if __name__ == "__main__":
    main()
