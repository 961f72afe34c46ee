"""ComboSciPlex: pairs of drugs in A549 cells."""

from data_store.sources.recipes.recipe import Recipe

COMBOSCIPLEX = Recipe(
    file="combosciplex.h5ad (figshare 25062230)",
    conditions=("condition",),
    layers=("counts",),
    control=("control",),  # the file writes it as control+control
    perturbation="drug",
)
