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
from pathlib import Path
from typing import NamedTuple

import anndata
import h5py
import numpy as np
import pandas as pd
import scanpy
import scipy.sparse as sp
from damaged_files import DAMAGE, MAKE, Made, h5ad

from cli.app import run
from data_store.store.export import to_adata
from data_store.store.reader import Store

SECONDS = 60
LIBRARIES = ("Traceback", "unexpected ", "h5py", "zarr.", "numpy", "pandas", "pyarrow", "Arrow",
             "Unable to", "Errno", "errno", "dtype", "object '", "literal", "axis")  # fmt: skip


class Outcome(NamedTuple):
    """What became of a damaged file."""

    kind: str
    said: str


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
