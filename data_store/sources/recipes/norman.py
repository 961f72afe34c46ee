"""Norman et al. 2019: doubles of CRISPRa in K562 cells, as GEARS and the scDFM release have it."""

from data_store.sources.recipes.recipe import Recipe

EXTRA = (
    "C3orf72+FOXL2",
    "LHX1+ELMSAN1",
    "MAP2K3+ELMSAN1",
    "MAP2K6+ELMSAN1",
    "ZBTB10+ELMSAN1",
    "TGFBR2+C19orf26",
)
"""Doubles of GEARS' file that are not among the 125 of the scDFM release."""

NORMAN = Recipe(
    file="GEARS' norman/perturb_processed.h5ad (Harvard Dataverse, datafile 6154020) or "
    "norman_2019_adata.h5ad (figshare 24688110)",
    conditions=("condition", "guide_merged"),
    layers=("counts", "count"),
    control=("ctrl", "control"),
    perturbation="gene",
    # GEARS' index holds Ensembl ids, its labels name symbols.
    gene_column="gene_name",
    drop=EXTRA,
)
