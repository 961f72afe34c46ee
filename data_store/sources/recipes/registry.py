"""Every recipe by its name in `--recipe`, one line each."""

from data_store.sources.recipes.recipe import Recipe
from scdfm.screen.registry import Registry

RECIPES: Registry[Recipe] = Registry(
    "recipe",
    group="scdfm.recipes",
    of=Recipe,
    own={
        "norman": "data_store.sources.recipes.norman:NORMAN",
        "combosciplex": "data_store.sources.recipes.combosciplex:COMBOSCIPLEX",
    },
)
