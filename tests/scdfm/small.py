"""A field small enough to differentiate in a test, and cells for it."""

import numpy as np
import torch

from scdfm.flow.objective import StepCells
from scdfm.gene_graph.correlation import pearson_graph
from scdfm.gene_graph.graph import GeneGraph
from scdfm.model.paper import ModelConfig, VelocityField, build_field
from scdfm.model.vocabulary import Vocabulary

GENES = 7
NAMES = tuple(f"G{k}" for k in range(GENES))


def graph() -> GeneGraph:
    cells = np.random.default_rng(0).normal(size=(40, GENES))
    return pearson_graph([cells], genes=GENES, k=2)


def vocabulary(*, kind: str = "gene") -> Vocabulary:
    if kind == "drug":
        return Vocabulary(genes=NAMES, perturbations=("aspirin", "sorafenib"), kind="drug")
    return Vocabulary(genes=NAMES, perturbations=("G1", "G3", "X"))  # X is not measured


def field(*, seed: int = 0, kind: str = "gene", **settings: object) -> VelocityField:
    torch.manual_seed(seed)
    config = ModelConfig.model_validate(
        {"width": 16, "layers": 2, "heads": 2, "dropout": 0.0} | settings
    )
    made = build_field(config, vocabulary=vocabulary(kind=kind), graph=graph())
    return made.double().eval()


def awake(made: VelocityField) -> VelocityField:
    """Open the gates, which start closed, so that every part of the network acts."""
    torch.manual_seed(1)
    for name, parameter in made.named_parameters():
        if "modulation" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return made


def cells(
    *, units: tuple[tuple[str, ...], ...] = (("G1",), ("G1", "G3")), each: int = 4
) -> StepCells:
    draw = torch.Generator().manual_seed(2)
    rows = len(units) * each
    return StepCells(
        index=0,
        target=torch.rand(rows, GENES, generator=draw, dtype=torch.float64),
        control=torch.rand(rows, GENES, generator=draw, dtype=torch.float64),
        genes=torch.arange(GENES),
        conditions=torch.tensor(vocabulary().table(units)),
        sizes=(each,) * len(units),
        names=tuple("+".join(unit) for unit in units),
    )
