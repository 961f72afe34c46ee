"""docs/your-data.md says what is detected in the files of common tools; here they are read."""

import gzip
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from anndata.io import write_elem

from cli.app import run
from data_store.store.reader import Store
from tests.data_store.screens.test_guides import tenx

DOCUMENT = Path(__file__).parents[3] / "docs" / "your-data.md"
GENES = ("A", "B", "C", "EPO", *(f"G{k}" for k in range(30)))


class Row(NamedTuple):
    """A line of the table."""

    name: str
    holds: list[str]  # what stands in code quotes
    detects: list[str]
    options: list[str]


class Made(NamedTuple):
    """Files of a convention."""

    source: str
    names: set[str]  # what they hold: columns, labels, files
    conditions: set[str]  # that the store must have
    contexts: int = 1


def rows() -> dict[str, Row]:
    """The document's table."""
    found = {}
    for line in DOCUMENT.read_text().splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 4 and "`" in cells[1]:
            said = [re.findall("`([^`]+)`", cell.replace(r"\|", "|")) for cell in cells]
            found[cells[0]] = Row(cells[0], said[1], said[2], shlex.split(said[3][0]))
    return found


def screen(*labels: str, column: str = "condition", each: int = 4, **obs: Any) -> anndata.AnnData:
    """Counts of a few cells for each label."""
    draw = np.random.default_rng(3)
    cells = len(labels) * each
    counts = draw.poisson(draw.gamma(2, 2, len(GENES)), (cells, len(GENES))).astype(np.float32)
    frame = pd.DataFrame(
        {column: np.repeat(labels, each), **obs}, index=[f"c{k}" for k in range(cells)]
    )
    return anndata.AnnData(sp.csr_matrix(counts), obs=frame, var=pd.DataFrame(index=list(GENES)))


def logged(cells: anndata.AnnData) -> anndata.AnnData:
    """Log values in X, the counts in a layer."""
    cells.layers["counts"] = cells.X.copy()
    depth = np.asarray(cells.X.sum(axis=1)).ravel()
    cells.X = sp.csr_matrix(sp.diags(1e4 / depth) @ cells.X).log1p()
    return cells


def written(cells: anndata.AnnData, *also: str, conditions: str, contexts: int = 1) -> Made:
    """An .h5ad file; what it holds is read from it."""
    cells.write_h5ad("in.h5ad")
    held = {*cells.obs.columns, *cells.var.columns, *cells.layers, "X", *also}
    held |= {str(label) for name in cells.obs for label in cells.obs[name].dropna().unique()}
    return Made("in.h5ad", held, set(conditions.split()), contexts)


def gears() -> Made:
    cells = logged(screen("ctrl", "A+ctrl", "ctrl+B", "A+B"))
    cells.var = pd.DataFrame({"gene_name": GENES}, index=[f"ENSG{k:011d}" for k in range(34)])
    return written(cells, conditions="A B A+B")


def cpa() -> Made:
    cells = logged(screen("control", "DrugA", "DrugB", "A+B".replace("A", "DrugA")))
    cells.obs["condition"] = cells.obs["condition"].replace("DrugA+B", "A+B")
    cells.obs["dose_val"], cells.obs["cell_type"] = "1.0", ["x", "y"] * 8
    return written(cells, conditions="DrugA DrugB A+B", contexts=2)


def cellflow() -> Made:
    cells = screen("control", "P", "Q", "P", column="drug_1", cell_line=["x", "y"] * 8)
    cells.obs["drug_2"] = ["control"] * 12 + ["Q"] * 4
    return written(cells, conditions="P Q P+Q", contexts=2)


def state() -> Made:
    cells = screen("non-targeting", "A", "B", column="target_gene", cell_line=["x", "y"] * 6)
    cells.obs["guide_id"], cells.obs["gem_group"] = "g", [1, 1, 2, 2] * 3
    return written(cells, conditions="A B", contexts=4)


def pertpy() -> Made:
    cells = screen("NT", "A", "B", column="gene_target", replicate=["r1", "r2"] * 6)
    with h5py.File("in.h5mu", "w") as file:
        file.attrs["encoding-type"] = "MuData"
        write_elem(file, "obs", pd.DataFrame(index=cells.obs_names))
        write_elem(file.create_group("mod"), "rna", cells)
        write_elem(file["mod"], "hto", cells[:, :3].copy())
    return Made("in.h5mu", {".h5mu", "rna", "NT", *cells.obs.columns}, {"A", "B"}, 2)


def scperturb() -> Made:
    cells = screen("control", "A", "B", "A_B", column="perturbation", cell_line=["x", "y"] * 8)
    cells.obs["ncounts"] = np.asarray(cells.X.sum(axis=1)).ravel()
    return written(cells, conditions="A B A+B", contexts=2)


def cellranger_guides() -> Made:
    cells = screen("NT-1", "A-1", "B-1", "A-1|B-1", "")
    source, calls = "filtered_feature_bc_matrix.h5", cells.obs[cells.obs["condition"] != ""]
    tenx(cells, Path(source))
    folder = Path("crispr_analysis")
    folder.mkdir()
    lines = [f"{name},1,{call},3" for name, call in calls["condition"].items()]
    table = "cell_barcode,num_features,feature_call,num_umis"
    (folder / "protospacer_calls_per_cell.csv").write_text("\n".join([table, *lines]) + "\n")
    (folder / "feature_reference.csv").write_text(
        "id,name,read,pattern,sequence,feature_type,target_gene_id,target_gene_name\n"
        "A-1,A-1,R2,(BC),AC,CRISPR Guide Capture,ENSG1,A\n"
        "B-1,B-1,R2,(BC),AG,CRISPR Guide Capture,ENSG2,B\n"
        "NT-1,NT-1,R2,(BC),AT,CRISPR Guide Capture,Non-Targeting,Non-Targeting\n"
    )
    held = {source, "crispr_analysis", *(path.name for path in folder.iterdir()), "feature_call"}
    held |= {"target_gene_name", "Non-Targeting", *calls["condition"]}
    return Made(source, held, {"A", "B", "A+B"})


def put_matrix(cells: anndata.AnnData, path: Path, *, genes_first: bool) -> None:
    """As Matrix Market, gzip by its ending."""
    counts = sp.csc_matrix(cells.X.T if genes_first else cells.X).astype(int)
    with gzip.open(path, "wb") if path.suffix == ".gz" else path.open("wb") as file:
        scipy.io.mmwrite(file, counts)


def cellranger_folder() -> Made:
    cells, folder = screen("non-targeting", "A", "B"), Path("outs")
    folder.mkdir()
    put_matrix(cells, folder / "matrix.mtx.gz", genes_first=True)
    features = "".join(f"ENSG{k},{gene},Gene Expression\n" for k, gene in enumerate(GENES))
    with gzip.open(folder / "features.tsv.gz", "wt") as file:
        file.write(features.replace(",", "\t"))
    with gzip.open(folder / "barcodes.tsv.gz", "wt") as file:
        file.write("\n".join(cells.obs_names) + "\n")
    cells.obs.rename_axis("barcode").to_csv("cells.csv")
    held = {path.name for path in folder.iterdir()} | {"barcode", "condition"}
    return Made("outs", held, {"A", "B"})


def parse() -> Made:
    cells, folder = screen("untreated", "P", "Q", column="sample"), Path("DGE_filtered")
    folder.mkdir()
    put_matrix(cells, folder / "count_matrix.mtx", genes_first=False)
    genes = "".join(f"ENSG{k},{gene},hg38\n" for k, gene in enumerate(GENES))
    (folder / "all_genes.csv").write_text(f"gene_id,gene_name,genome\n{genes}")
    cells.obs.rename_axis("bc_wells").to_csv(folder / "cell_metadata.csv")
    held = {path.name for path in folder.iterdir()} | {"bc_wells", "sample", "untreated"}
    return Made("DGE_filtered", held, {"P", "Q"})


def seurat() -> Made:
    """As SeuratDisk writes: factors as codes, whose names lie elsewhere."""
    cells, names = logged(screen("NT", "A", "B", column="gene")), np.array(["A", "B", "NT"], "S2")
    codes = np.repeat(np.array([2, 0, 1], dtype=np.int32), 4)
    with h5py.File("in.h5ad", "w") as file:
        for place, matrix in (("X", cells.X), ("raw/X", cells.layers["counts"])):
            group = file.create_group(place)
            marks = {"encoding-type": "csr_matrix", "encoding-version": "0.1.0"}
            group.attrs.update(marks | {"shape": np.array(matrix.shape)})
            for part in ("data", "indices", "indptr"):
                group[part] = getattr(matrix, part)
        for place, index in (("obs", cells.obs_names), ("var", GENES), ("raw/var", GENES)):
            frame = file.create_group(place)
            frame.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.1.0"})
            frame.attrs.update({"_index": "_index", "column-order": np.array([], "S1")})
            frame["_index"] = np.array(list(index), "S")
        obs = file["obs"]
        obs.attrs["column-order"] = np.array(["gene", "nCount_RNA"], dtype=h5py.string_dtype())
        obs["gene"], obs["__categories/gene"] = codes, names
        obs["gene"].attrs["categories"] = obs["__categories/gene"].ref
        obs["nCount_RNA"] = np.asarray(cells.layers["counts"].sum(axis=1)).ravel()
        held = {*obs, *file, "raw/X", "NT"}
    return Made("in.h5ad", held, {"A", "B"})


def scanpy() -> Made:
    cells = screen("ctrl", "A", "B")
    cells.raw = cells.copy()
    cells.X = cells.X.toarray() - 1.5
    return written(cells, "raw/X", conditions="A B")


def logs() -> Made:
    cells = screen("ctrl", "A", "B")
    depth = np.asarray(cells.X.sum(axis=1)).ravel()
    cells.X = sp.csr_matrix(sp.diags(1e6 / depth) @ cells.X).log1p()
    return written(cells, conditions="A B")


def some_logs() -> Made:
    cells = screen("ctrl", "A", "B")
    counts = np.asarray(cells.X.sum(axis=1)).ravel()
    cells.obs["n_counts"] = counts
    cells.X = sp.csr_matrix(sp.diags(1e6 / counts) @ cells.X).log1p()
    return written(cells[:, :20].copy(), conditions="A B")


def corrected() -> Made:
    cells = screen("ctrl", "A", "B")
    cells.X.data *= np.random.default_rng(0).uniform(0.8, 1, cells.X.nnz)
    return written(cells, conditions="A B")


def own_guides() -> Made:
    cells = screen("NT_1", "NT_2", "sgA_1", "sgB_1", "sgA_1;sgB_1", "NT_2;sgB_1",
                   column="guide_identity")  # fmt: skip
    Path("guides.csv").write_text("guide,gene\nsgA_1,A\nsgB_1,B\n")
    return written(cells, "guide", "gene", conditions="A B A+B")


def cytokines() -> Made:
    cells = screen("PBS", "IL-4", "EPO", "IL-13", "TNF-alpha")
    return written(cells, conditions="IL-4 EPO IL-13 TNF-alpha")


def plates() -> Made:
    cells = screen("DMSO", "P", "Q", column="treatment", plate=["p1", "p2"] * 6)
    cells.obs.loc[cells.obs_names[-3:], "plate"] = ["p3", "p3", None]
    return written(cells, conditions="P Q", contexts=2)


MAKE: dict[str, Callable[[], Made]] = {
    "GEARS": gears,
    "CPA": cpa,
    "CellFlow": cellflow,
    "STATE": state,
    "pertpy": pertpy,
    "scPerturb": scperturb,
    "CellRanger with guides": cellranger_guides,
    "CellRanger without": cellranger_folder,
    "Parse": parse,
    "Seurat conversions": seurat,
    "scanpy": scanpy,
    "log values alone": logs,
    "log values of some genes": some_logs,
    "SoupX, CellBender": corrected,
    "guides of your own": own_guides,
    "cytokine or drug panels": cytokines,
    "plates": plates,
}


def test_every_convention_of_the_document_is_tried() -> None:
    assert [*rows()] == [*MAKE]


@pytest.mark.parametrize("name", MAKE)
def test_a_convention_is_read_as_the_document_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    row, made = rows()[name], MAKE[name]()
    assert [word for word in row.holds if word not in made.names] == []
    status = run(["ingest", made.source, "store", *row.options])
    assert status == 0, capsys.readouterr().err
    with Store.open(tmp_path / "store") as store:
        said = store.manifest.detections
        assert [words for words in row.detects if not any(words in line for line in said)] == []
        assert set(store.conditions) == made.conditions
        assert len(store.contexts) == made.contexts
