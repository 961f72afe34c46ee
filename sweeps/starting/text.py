"""The text of a run file and of a sweep file, with what their settings follow from beside them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote

import yaml

from cluster.settings.config import RunConfig

RUN, SWEEP = "run.yaml", "sweep.yaml"
TRIALS = 12


def run_text(run: RunConfig, *, preset: str, why: Mapping[str, str]) -> str:
    """The run file.

    Args:
        run: Its settings.
        preset: That they start from.
        why: Why a setting is as it is, by the section that it is in.
    """
    batch, training = run.batch, run.training
    sizes = {"conditions": batch.conditions, "cells": batch.cells, "genes": batch.genes}
    steps = {
        "steps": training.steps,
        "warmup": training.warmup,
        "validate_every": training.validate_every,
    }
    instead = why["preset"]
    instead = f"# {instead}:\n# this one is to see a run go through\n" if instead else ""
    return f"""\
# Made by `scdfm init`. Every other setting is the preset's; all of them: scdfm config schema run
{instead}preset: {preset}
store: {_quoted(run.store)}
name: {_quoted(run.name)}
output: {_quoted(str(run.output))}
# {why["split"]}
split: {_flow(run.split.model_dump(mode="json", exclude_unset=True))}
# {why["genes"]}; the perturbed ones are among them
genes: {_flow({"model": run.genes.model, "evaluation": run.genes.evaluation})}
# a step sees so many conditions, cells of each and genes; {why["batch"]}
batch: {_flow(sizes)}
# {why["training"]}
training: {_flow(steps)}
"""


def sweep_text(
    run: RunConfig,
    *,
    splits: Sequence[Mapping[str, str | int]],
    why: Mapping[str, str],
    gpu: bool,
    folder: Path,
) -> str:
    """The sweep file around it.

    Args:
        run: Its base.
        splits: That every trial trains on.
        why: As of the run.
        gpu: Whether trials have one.
        folder: Where both files are.
    """
    parts = "\n".join(f"  - {_flow(one)}" for one in splits)
    widths = [128, 256, 512] if gpu else sorted({32, run.model.width})
    width_choice = _flow({"type": "choice", "values": widths})
    resources = _flow({"cpu": 4, "gpu": 1} if gpu else {"cpu": 1})
    neighbours = min(run.genes.model - 1, 20)
    low = min(5, neighbours)
    k = _flow({"type": "int", "low": low, "high": neighbours}) if neighbours > low else None
    graph = f"  graph.k: {k}\n" if k else ""
    return f"""\
# Made by `scdfm init`. What it would cost: scdfm tune {quote(str(folder / SWEEP))} --dry-run
version: 1
name: {_quoted(run.name + "-sweep")}
output: {_quoted(str(run.output))}
base: {_quoted(str(folder / RUN))}
# every trial trains on each of these; {why["split"]} in the first
splits:
{parts}
{_objective(run)}
space:
  loss.mmd_weight: {{type: float, low: 0.05, high: 2, log: true}}
{graph}  model.width: {width_choice}
search: {{sampler: tpe, seed: 7, startup: 4, baseline_first: true}}
prune: {{scheduler: asha, grace: 2, factor: 2}}
# {why["budget"]}
budget: {{trials: {TRIALS}, concurrent: auto}}
resources: {resources}
"""


def _objective(run: RunConfig) -> str:
    """What trials are compared by, and why."""
    if run.split.kind == "additive" and run.sampling.mean.combined:
        return (
            "# of validation conditions; test conditions take no part. The base carries the mean\n"
            "# of doubles, so mse may be the same in all trials; mmd2 sees the cells around it\n"
            "objective: {metric: mmd2}"
        )
    return "objective: {metric: mse}  # of validation conditions; test conditions take no part"


def _flow(value: Mapping[str, object]) -> str:
    """A mapping on one line of YAML."""
    return str(yaml.safe_dump(value, default_flow_style=True, width=1_000, sort_keys=False)).strip()


def _quoted(text: str) -> str:
    """Text as YAML reads it."""
    return str(yaml.safe_dump(text, width=1_000)).removesuffix("\n...\n").strip()
