"""A training step and a sampled batch of the `norman` preset on a GPU, by number format.

    python benchmarks/gpu_step.py [--json]

One process; the forms take turns, round by round, after one that warms up and compiles. A step is
the whole of it: noise, forward pass, losses, backward pass, optimiser. Memory is the peak of what
torch has allocated for that form alone.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from task import SPECIALS, make_task

from cluster.runs.precision import set_up
from scdfm.flow.method import flow_losses
from scdfm.flow.objective import StepCells
from scdfm.flow.sampling import SamplingConfig, rollout
from scdfm.flow.training import Trainer, TrainingConfig
from scdfm.model.paper import ModelConfig, build_field
from scdfm.model.release import mask_graph
from scdfm.model.vocabulary import Vocabulary

FORMS: dict[str, dict[str, Any]] = {
    "float32": {"precision": "float32", "compile": "off"},
    "bf16": {"precision": "bf16", "compile": "off"},
    "bf16, compiled": {"precision": "bf16", "compile": "on"},
}


@dataclass
class Side:
    """One form of the same network, with its optimiser."""

    trainer: Trainer
    cells: StepCells
    how: dict[str, Any]
    products: torch.dtype | None

    def step(self) -> None:
        """Take a training step."""
        self.trainer.step(replace(self.cells, index=self.trainer.progress.step))

    def sample(self) -> None:
        """Generate as many cells as a step has, by ten midpoint steps."""
        self.trainer.model.eval()
        rollout(
            self.trainer.model,
            start=self.cells.control,
            control=self.cells.control,
            genes=self.cells.genes,
            conditions=self.cells.conditions,
            unit_of_cell=self.cells.unit_of_cell,
            config=SamplingConfig(),
            products=self.products,
        )
        self.trainer.model.train()


def main() -> None:
    """Time every form and print a table."""
    options = parse()
    device = torch.device(options.device)
    sides = {name: build(FORMS[name], options, device=device) for name in options.forms}
    rows = []
    timings: dict[str, dict[str, list[float]]] = {n: {"step": [], "sample": []} for n in sides}
    peaks: dict[str, float] = {}
    for round_ in range(options.rounds + 1):
        for name, side in sides.items():
            before = allocated(device)
            seconds = {
                "step": timed(side.step, times=options.steps, device=device),
                "sample": timed(side.sample, times=1, device=device),
            }
            peaks[name] = (peak(device) - before) / 2**30
            if round_:
                for what, value in seconds.items():
                    timings[name][what].append(value)
    for name, side in sides.items():
        step, sample = (statistics.median(timings[name][what]) for what in ("step", "sample"))
        rows.append(
            {
                "form": name,
                "step_ms": 1e3 * step,
                "cells_per_second": options.cells / step,
                "sampled_cells_per_second": options.cells / sample,
                "added_gib": peaks[name],
                **side.how,
            }
        )
        print(
            f"{name:16} {1e3 * step:8.1f} ms/step {options.cells / step:8.0f} cells/s trained "
            f"{options.cells / sample:8.1f} cells/s sampled {peaks[name]:6.2f} GiB added"
        )
    first = rows[0]["step_ms"]
    print(*(f"{row['form']}: {first / row['step_ms']:.2f}x float32" for row in rows[1:]), sep="\n")
    if options.json:
        print(
            json.dumps(
                {
                    "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
                    "rows": rows,
                }
            )
        )


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="in a turn")
    parser.add_argument("--cells", type=int, default=96, help="of a step")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--genes", type=int, default=1000, help="of a step")
    parser.add_argument("--all-genes", type=int, default=5033, help="of the vocabulary")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu: to try it")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("expected a GPU that CUDA can use, found none")
    return options


def build(form: dict[str, Any], options: argparse.Namespace, *, device: torch.device) -> Side:
    """The preset's network on the device, computing in one form."""
    how = set_up(form["precision"], device=device, compile=form["compile"])
    task = make_task(genes=options.all_genes, cells=options.cells)
    names = tuple(f"gene {number}" for number in range(task.genes))
    field = build_field(
        ModelConfig(width=options.width),
        vocabulary=Vocabulary(genes=names, perturbations=names),
        graph=mask_graph(task.forbidden[SPECIALS:, SPECIALS:]),
    ).to(device)
    cells = task.step(0, genes=options.genes)
    cells = replace(
        cells,
        target=cells.target.to(device),
        control=cells.control.to(device),
        genes=(cells.genes - SPECIALS).to(device),
        conditions=(cells.conditions - SPECIALS).to(device),
    )
    trainer = Trainer(
        field,
        training=TrainingConfig(),
        losses=flow_losses(source="noise", products=how.products),
        seed=0,
        compiled=how.compiled,
    )
    return Side(trainer, cells, how.facts(), how.products)


def timed(work: Callable[[], None], *, times: int, device: torch.device) -> float:
    """Seconds for one of some calls, the GPU's work included."""
    _wait(device)
    began = time.perf_counter()
    for _ in range(times):
        work()
    _wait(device)
    return (time.perf_counter() - began) / times


def allocated(device: torch.device) -> int:
    """Bytes that torch holds now; the peak is counted from here on."""
    if device.type == "cpu":
        return 0
    torch.cuda.reset_peak_memory_stats()
    return torch.cuda.memory_allocated()


def peak(device: torch.device) -> int:
    """Most bytes that torch held since `allocated`; 0 on a CPU, where it does not count."""
    return 0 if device.type == "cpu" else torch.cuda.max_memory_allocated()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
