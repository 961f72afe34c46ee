"""What each side of the training benchmark does in its turn, in a process of its own."""

from argparse import Namespace
from dataclasses import replace
from typing import NamedTuple
from unittest.mock import patch

import torch
from rounds import Facts, serve
from task import SPECIALS, make_task
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from cluster.runs.precision import set_up
from scdfm.flow.method import flow_losses
from scdfm.flow.objective import StepCells
from scdfm.flow.training import Trainer, TrainingConfig
from scdfm.model import attention
from scdfm.model.paper import ModelConfig, VelocityField, build_field
from scdfm.model.release import ReleaseField, mask_graph
from scdfm.model.vocabulary import Vocabulary

ROWS = 6000  # of the release's embedding tables, whatever the vocabulary
LAYERS = 4
PRODUCT = 2048  # side of the square matrices whose product is the machine's peak


class Case(NamedTuple):
    """Sizes of a step."""

    width: int
    cells: int
    heads: int = 8

    def __str__(self) -> str:
        return f"d={self.width} B={self.cells}"


CASES = {"wide": Case(512, 2), "narrow": Case(128, 4)}


def release(case: Case, options: Namespace) -> None:
    """The release's step."""
    from peer import Peer

    task = make_task(genes=options.all_genes, cells=case.cells)
    peer = Peer(
        options.release,
        forbidden=task.forbidden,
        rows=ROWS,
        width=case.width,
        heads=case.heads,
        layers=LAYERS,
    )
    peer.allocate()

    def step() -> None:
        peer.step(
            control=task.control,
            target=task.target,
            tokens=task.tokens,
            condition=task.condition,
            genes=options.genes,
        )

    serve(step, matmul=torch.get_float32_matmul_precision())


def same(case: Case, options: Namespace) -> None:
    """Our step on the release's network."""
    _serve(*_release_form(case, options))


def paper(case: Case, options: Namespace) -> None:
    """Our step on the paper's network."""
    _serve(*_paper_form(case, options))


def matmul(case: Case, options: Namespace) -> None:
    """Large square products: the machine's peak on the path that our steps use.

    Says beforehand how many operations a step of either form has, softmax maps held and not
    computed twice.
    """
    forms = {"same": _release_form(case, options), "paper": _paper_form(case, options)}
    counted = {name: _count(*form) for name, form in forms.items()}
    del forms
    path = set_up("auto", device=torch.device("cpu")).matmul
    a, b = torch.randn(2, PRODUCT, PRODUCT)

    def multiply() -> Facts:
        for _ in range(options.products):
            torch.mm(a, b)
        return {"flop": 2.0 * PRODUCT**3 * options.products}

    serve(multiply, matmul=path, flop=counted)


SIDES = {"release": release, "same": same, "paper": paper, "matmul": matmul}


class Form(NamedTuple):
    """A network of ours, and the cells of its steps."""

    field: VelocityField
    cells: StepCells


def _release_form(case: Case, options: Namespace) -> Form:
    task = make_task(genes=options.all_genes, cells=case.cells)
    graph = mask_graph(task.forbidden)
    config = ModelConfig(variant="release", width=case.width, layers=LAYERS, heads=case.heads)
    field = ReleaseField(config, graph=graph, tokens=graph.tokens, drugs=None)
    return Form(field, task.step(0, genes=options.genes))


def _paper_form(case: Case, options: Namespace) -> Form:
    task = make_task(genes=options.all_genes, cells=case.cells)
    names = tuple(f"gene {number}" for number in range(task.genes))
    graph = mask_graph(task.forbidden[SPECIALS:, SPECIALS:])
    config = ModelConfig(width=case.width, layers=LAYERS, heads=case.heads)
    field = build_field(
        config, vocabulary=Vocabulary(genes=names, perturbations=names), graph=graph
    )
    cells = task.step(0, genes=options.genes)
    ids = {"genes": cells.genes - SPECIALS, "conditions": cells.conditions - SPECIALS}
    return Form(field, replace(cells, **ids))


def _trainer(field: VelocityField) -> Trainer:
    return Trainer(field, training=TrainingConfig(), losses=flow_losses(source="noise"), seed=0)


def _serve(field: VelocityField, cells: StepCells) -> None:
    path = set_up("auto", device=torch.device("cpu")).matmul
    trainer = _trainer(field)
    for parameter in field.parameters():
        parameter.grad = torch.zeros_like(parameter)
    trainer.optimiser.step()
    trainer.optimiser.zero_grad(set_to_none=True)

    def step() -> None:
        trainer.step(replace(cells, index=trainer.progress.step))

    serve(step, matmul=path)


def _count(field: VelocityField, cells: StepCells) -> float:
    """Floating-point operations of a step with plain attention: nothing is computed twice."""
    with (
        patch.object(attention, "suits", lambda queries, values: False),
        patch.object(attention, "PLAIN_UP_TO", len(cells.genes)),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        _trainer(field).step(cells)
    return float(counter.get_total_flops())
