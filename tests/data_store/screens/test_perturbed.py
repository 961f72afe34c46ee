"""Gene or drug: told by most tokens, never by one; what cannot be told is asked with figures."""

from pathlib import Path

import pandas as pd

from tests.data_store.cells import adata
from tests.data_store.screens.said import advised, refused, said

AGENTS = ["PBS", "IL-2", "IL-4", "IFN-gamma", "TNF-alpha", "EPO", "IL-12", "M-CSF", "G-CSF",
          "IL-10", "IL-13", "IL-15", "TGF-beta1", "LT-alpha", "IL-22"]  # fmt: skip


def test_one_agent_with_the_name_of_a_gene_does_not_make_a_screen_genetic(tmp_path: Path) -> None:
    cells = adata(AGENTS, genes=("EPO", "A", "B"))
    line = refused(cells, tmp_path / "s", control=("PBS",))
    assert "1 of 14 perturbed names is a measured gene: EPO (not G-CSF" in line
    assert "with gene a model knows a name by its gene" in line
    for kind in ("gene", "drug"):
        assert f"--perturbation {kind}" in line
        store, lines = said(cells, tmp_path / kind, control=("PBS",), perturbation=kind)
        with store:
            assert store.manifest.perturbation == kind
        doubted = any("EPO (not G-CSF, IFN-gamma" in line for line in lines)
        assert doubted == (kind == "gene")


def test_a_column_of_drugs_with_hardly_any_gene_is_of_drugs(tmp_path: Path) -> None:
    for column in ("drug", "Drug1", "cytokine"):
        cells = adata(AGENTS, genes=("EPO", "A", "B"), column=column)
        told = {"control": ("PBS",), "condition_column": column}
        store, lines = said(cells, tmp_path / column, **told)
        with store:
            assert store.manifest.perturbation == "drug"
        assert any("1 of 14 perturbed names is a measured gene: EPO" in line for line in lines)
    cells = adata(["PBS", "X", "Y"], column="drug_target")
    refused(cells, tmp_path / "s", control=("PBS",), condition_column="drug_target")


def test_most_measured_tokens_make_a_gene_screen(tmp_path: Path) -> None:
    store, lines = said(["ctrl", "A", "B", "C+Q"], tmp_path / "s")
    with store:
        assert store.manifest.perturbation == "gene"
    assert "perturbation: gene (3 of 4 perturbed names are measured genes)" in lines
    assert "2 of 4 perturbed names are measured genes: A, B" in refused(
        ["ctrl", "A", "B", "P+Q"], tmp_path / "other"
    )


def test_names_that_are_spelt_as_genes_are_genes_where_several_are_measured(tmp_path: Path) -> None:
    """A file with some thousand genes holds the targets of a screen only in part."""
    targets = ["STAT1", "IRF1", "JAK2", "SMAD4", "C9orf72", "HLA-A", "CD86", "ETV7"]
    cells = adata(["ctrl", *targets], genes=("STAT1", "IRF1", "JAK2"))
    store, lines = said(cells, tmp_path / "one")
    with store:
        assert store.manifest.perturbation == "gene"
    assert any("spelt as genes are; 3 of 8 perturbed names are measured genes" in x for x in lines)
    # One measured gene decides nothing, nor do three in a column that says that they are drugs.
    few = adata(["ctrl", *targets], genes=("STAT1", "B", "C"))
    assert "with gene (likely: all are spelt as genes are)" in refused(few, tmp_path / "two")
    agents = adata(["ctrl", *targets], genes=("STAT1", "IRF1", "JAK2"), column="compound")
    refused(agents, tmp_path / "three", condition_column="compound")


def test_names_of_drugs_are_drugs_where_none_is_a_gene(tmp_path: Path) -> None:
    store, lines = said(["ctrl", "Panobinostat", "dasatinib"], tmp_path / "one")
    with store:
        assert store.manifest.perturbation == "drug"
    assert any("named as drugs are; none of 2 perturbed names is" in line for line in lines)
    refused(["ctrl", "panobinostat", "P"], tmp_path / "two")


def test_symbols_beside_ensembl_ids_are_found_in_their_column(tmp_path: Path) -> None:
    cells = adata(["ctrl", "A", "B", "A+C"], genes=("ENSG1", "ENSG2", "ENSG3"))
    cells.var = pd.DataFrame({"kind": ["x"] * 3, "gene_name": list("ABC")}, index=cells.var_names)
    line = refused(cells, tmp_path / "s")
    assert "var column 'gene_name' holds 3 of them: --gene-column gene_name" in line
    store, lines = said(cells, tmp_path / "one", perturbation="gene")
    store.close()
    [warned] = [line for line in lines if "--gene-column gene_name" in line]
    assert "--perturbation gene, but none of 3 perturbed names is a measured gene" in warned
    told = advised(line)
    assert told.pop("perturbation") == "gene"
    store, lines = said(cells, tmp_path / "two", **told)
    with store:
        assert store.genes == ("A", "B", "C")
        assert store.manifest.perturbation == "gene"


def test_genes_in_another_case_are_named(tmp_path: Path) -> None:
    cells = adata(["ctrl", "Stat1", "Irf1"], genes=("STAT1", "IRF1", "C"))
    line = refused(cells, tmp_path / "s")
    assert "the genes are written in another case (Irf1: IRF1), write both alike" in line


def test_figures_that_contradict_the_user_are_said(tmp_path: Path) -> None:
    store, lines = said(["ctrl", "A", "B"], tmp_path / "one", perturbation="drug")
    store.close()
    assert any("--perturbation drug, but 2 of 2 perturbed names are" in line for line in lines)
    store, lines = said(["ctrl", "P"], tmp_path / "two", perturbation="gene")
    store.close()
    assert any("none of 1 perturbed name is a measured gene (P)" in line for line in lines)
