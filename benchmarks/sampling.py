"""Sampling a cell: the release's RK4 over 20 points against our midpoint rule with 10 steps.

    python benchmarks/sampling.py --release CHECKOUT [--weights FILE] [--json]

Both sides load the same weights, trained here on made-up cells (minutes; `--weights` keeps them for
the next time). Every evaluation of the release repeats all of its work, so a turn of its side is
one step of its solver, 4 of 76 evaluations, and counts 19 times. A turn of ours is a whole rollout.

The error of a solver is the 2-norm of its end point's distance from a fine solution, relative to
that solution, with our network in float32.
"""

import argparse
import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from rounds import Facts, interleave, median, ratio, serve, table
from task import Task, make_task
from torch import Tensor

from cluster.runs.precision import set_up
from scdfm.flow.method import flow_losses
from scdfm.flow.sampling import SamplingConfig, rollout
from scdfm.flow.training import Trainer, TrainingConfig
from scdfm.model.field import ModelConfig
from scdfm.model.release import ReleaseField, in_release_names, load_release, mask_graph

LAYERS, HEADS = 4, 8
POINTS, EVALUATIONS = 20, 4  # of the release's solver: points in time, evaluations of a step
SAME = 1e-5  # of the norm: how far apart velocities of one network may be
FINE = SamplingConfig(solver="rk4", steps=40, clamp=False)
SOLVERS = {
    "midpoint 10": SamplingConfig(clamp=False).settled("noise"),  # our default
    "midpoint 10, even steps": SamplingConfig(spacing="even", clamp=False),
    "euler 100": SamplingConfig(solver="euler", steps=100, clamp=False),
    "rk4 19": SamplingConfig(solver="rk4", steps=19, clamp=False),
}


def main() -> None:
    """Train or load the weights, let the sides take turns, measure the solvers' errors."""
    options = parse()
    torch.set_num_threads(options.threads)
    if options.side:
        SIDES[options.side](options)
        return
    with TemporaryDirectory() as folder:
        options.weights = options.weights or Path(folder) / "checkpoint.pt"
        if not options.weights.is_file():
            train(options)
        figures = compare(options)
    figures |= {f"error {name}": error for name, error in errors_of_solvers(options).items()}
    show(figures)
    if options.json:
        print(json.dumps(figures))


def parse() -> argparse.Namespace:
    """Read the command line; children are told more than the help shows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--release", type=Path, metavar="CHECKOUT", help="the release's repository")
    parser.add_argument("--weights", type=Path, help="trained here before, or kept for later")
    parser.add_argument("--steps", type=int, default=300, help="to train")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--cells", type=int, default=2, help="sampled together")
    parser.add_argument("--genes", type=int, default=1000, help="sampled together")
    parser.add_argument("--all-genes", type=int, default=5033, help="of the vocabulary")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.release is None:
        parser.error("expected --release CHECKOUT, a folder with the release's repository")
    return options


def train(options: argparse.Namespace) -> None:
    """Train a network of the release's form on made-up cells and save it as the release does."""
    set_up("auto", device=torch.device("cpu"))
    task = make_task(genes=options.all_genes, cells=64)
    graph = mask_graph(task.forbidden)
    config = ModelConfig(variant="release", width=options.width, layers=LAYERS, heads=HEADS)
    torch.manual_seed(0)
    trainer = Trainer(
        ReleaseField(config, graph=graph, tokens=graph.tokens, drugs=None),
        training=TrainingConfig(steps=options.steps, learning_rate=3e-4, clip_norm=1.0),
        losses=flow_losses(source="noise"),
        seed=0,
    )
    for step in range(options.steps):
        losses = trainer.step(task.step(step, genes=64, cells=8))
        if (step + 1) % 50 == 0:
            print(
                f"step {step + 1}: flow loss {float(losses.parts['cfm'].detach()):.3f}",
                file=sys.stderr,
            )
    weights = in_release_names(trainer.model.state_dict(), layers=LAYERS, drugs=False)
    options.weights.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"model_state_dict": weights}, options.weights)


class Start(NamedTuple):
    """Where sampling starts, the same for both sides."""

    task: Task
    tokens: Tensor  # (genes,)
    control: Tensor  # (cells, genes)
    noise: Tensor  # (cells, genes)


def start(options: argparse.Namespace) -> Start:
    """Draw genes, control cells and noise."""
    task = make_task(genes=options.all_genes, cells=64)
    generator = torch.Generator().manual_seed(1)
    subset = torch.randperm(task.genes, generator=generator)[: options.genes]
    control = task.control[: options.cells, subset]
    noise = torch.randn(control.shape, generator=generator)
    return Start(task, task.tokens[subset], control, noise)


def release(options: argparse.Namespace) -> None:
    """One step of the release's solver."""
    from peer import Peer

    begin = start(options)
    peer = Peer(
        options.release,
        forbidden=begin.task.forbidden,
        rows=len(begin.task.forbidden),
        width=options.width,
        heads=HEADS,
        layers=LAYERS,
    )
    peer.load(options.weights)
    where = {"control": begin.control, "tokens": begin.tokens, "condition": begin.task.condition}
    with torch.no_grad():
        t = torch.full((options.cells,), 0.5)
        velocity = peer.velocity(begin.noise, t, **where)

    def step() -> None:
        peer.sample(**where, points=2)

    matmul = torch.get_float32_matmul_precision()
    serve(step, matmul=matmul, velocity=velocity.flatten().tolist())


def ours(options: argparse.Namespace) -> None:
    """A whole rollout."""
    path = set_up("auto", device=torch.device("cpu")).matmul
    begin = start(options)
    field = _field(options, begin.task)
    with torch.no_grad():
        t = torch.full((options.cells,), 0.5)
        where = {"control": begin.control, "genes": begin.tokens}
        velocity = field(begin.noise, t, **where, condition=begin.task.condition)

    def sample() -> None:
        _roll(field, begin, config=SamplingConfig().settled("noise"))

    serve(sample, matmul=path, velocity=velocity.flatten().tolist())


SIDES = {"release": release, "ours": ours}


def compare(options: argparse.Namespace) -> Facts:
    """Let both sides take turns."""
    command = [sys.executable, __file__]
    for option in ("release", "weights", "width", "cells", "genes", "all_genes", "threads"):
        command += [f"--{option.replace('_', '-')}", str(getattr(options, option))]
    turns, said = interleave(
        {side: [*command, "--side", side] for side in SIDES},
        rounds=options.rounds,
        note=lambda line: print(line, file=sys.stderr, flush=True),
    )
    difference = _apart(*(torch.tensor(said[side]["velocity"]) for side in SIDES))
    if difference > SAME:
        raise SystemExit(f"the sides compute different velocities, {difference:.1e} apart")
    steps = POINTS - 1
    times = {
        "wall": (lambda turn: turn.wall, steps),
        "cpu": (lambda turn: turn.cpu, steps),
    }
    figures: Facts = {
        "width": options.width,
        "cells": options.cells,
        "genes": options.genes,
        "rounds": options.rounds,
        "threads": options.threads,
        "matmul": said["ours"]["matmul"],
        "matmul_release": said["release"]["matmul"],
        "velocity_difference": difference,
    }
    for name, (of, factor) in times.items():
        each = ratio(turns["release"], turns["ours"], of=of)
        figures[f"ratio_{'time' if name == 'wall' else name}"] = factor * each.median
        figures[f"ratio_{'time' if name == 'wall' else name}_lower"] = factor * each.lower
        figures[f"{name}_release"] = factor * median(turns["release"], of=of) / options.cells
        figures[f"{name}_ours"] = median(turns["ours"], of=of) / options.cells
    return figures


def errors_of_solvers(options: argparse.Namespace) -> dict[str, float]:
    """Distance of each solver's end from a fine solution's, for one cell."""
    set_up("auto", device=torch.device("cpu"))
    whole = start(options)
    begin = whole._replace(control=whole.control[:1], noise=whole.noise[:1])
    field = _field(options, begin.task)
    fine = _roll(field, begin, config=FINE)
    ends = {name: _roll(field, begin, config=config) for name, config in SOLVERS.items()}
    return {name: float((end - fine).norm() / fine.norm()) for name, end in ends.items()}


def show(figures: Facts) -> None:
    """Print the table."""
    rows = [
        [
            name,
            figures[f"cpu_{side}"],
            figures[f"wall_{side}"],
            figures[f"error {solver}"],
        ]
        for name, side, solver in (
            ("release, RK4, 76 evaluations", "release", "rk4 19"),
            ("ours, midpoint, 20 evaluations", "ours", "midpoint 10"),
        )
    ]
    rows.append(["midpoint, even steps", "", "", figures["error midpoint 10, even steps"]])
    rows.append(["Euler, 100 evaluations", "", "", figures["error euler 100"]])
    print(table(["sampling a cell", "CPU s", "wall s", "ODE error"], rows))
    print(
        f"\nd={figures['width']}, {figures['genes']} genes, {figures['cells']} cells together: "
        f"release / ours {figures['ratio_time']:.1f} (lower quartile "
        f"{figures['ratio_time_lower']:.1f}) x wall time, {figures['ratio_cpu']:.1f} x CPU time; "
        f"velocities differ by {figures['velocity_difference']:.1e}; float32 products: ours "
        f"{figures['matmul']!r}, release {figures['matmul_release']!r}"
    )


def _field(options: argparse.Namespace, task: Task) -> ReleaseField:
    return load_release(
        options.weights, heads=HEADS, forbidden=task.forbidden, gene_perturbations=True
    )


def _roll(field: ReleaseField, begin: Start, *, config: SamplingConfig) -> Tensor:
    return rollout(
        field,
        start=begin.noise,
        control=begin.control,
        genes=begin.tokens,
        conditions=begin.task.condition[None],
        unit_of_cell=torch.zeros(len(begin.noise), dtype=torch.long),
        config=config,
    )


def _apart(theirs: Tensor, mine: Tensor) -> float:
    return float((mine - theirs).norm() / theirs.norm())


if __name__ == "__main__":
    main()
