"""What a run or a model is, in plain values for `scdfm inspect`."""

import json
from pathlib import Path
from typing import Any

from cluster.runs import journal
from cluster.runs.config import read_run
from cluster.runs.directory import BEST, MODEL, RESULT, RUN
from scdfm.flow.checkpoint import GRAPH, SPLIT, WEIGHTS, read_card
from scdfm.gene_graph import GeneGraph
from scdfm.splits import Split


def describe_run(path: Path) -> dict[str, Any]:
    """State, best validation round, split and settings of a run.

    Raises:
        ValueError: The run file is damaged.
    """
    run = read_run(path / RUN)
    lines = list(journal.read_lines(path / journal.FILE))
    best = path / BEST
    return {
        "kind": "run",
        "path": str(path),
        "finished": (path / RESULT).is_file(),
        "step": max((line["step"] for line in lines), default=0),
        "steps": run.training.steps,
        "best": json.loads(best.read_text()) if best.is_file() else None,
        "model": str(path / MODEL) if (path / MODEL).is_dir() else None,
        "split": _split(path / SPLIT) if (path / SPLIT).is_file() else None,
        "settings": run.model_dump(mode="json"),
    }


def describe_model(path: Path) -> dict[str, Any]:
    """Size, names, split and provenance of a model.

    Raises:
        ValueError: The model is damaged.
    """
    card = read_card(path)
    graph = GeneGraph.load(path / GRAPH)
    return {
        "kind": "model",
        "path": str(path),
        "genes": len(card.genes),
        "evaluation_genes": len(card.evaluation_genes),
        "perturbation": card.perturbation,
        "perturbations": list(card.perturbations),
        "unmeasured_perturbations": list(card.vocabulary.unmeasured),
        "model": {**card.model.model_dump(), "heads": card.model.head_count},
        "weights_bytes": (path / WEIGHTS).stat().st_size,
        "source": card.source,
        "sampling": card.sampling.model_dump(),
        "graph_edges": graph.edges,
        "split": _split(path / SPLIT),
        "provenance": card.provenance,
    }


def _split(path: Path) -> dict[str, Any]:
    split = Split.load(path)
    return {
        "kind": split.kind,
        "fold": split.fold,
        "seed": split.seed,
        "context": split.context,
        "train": len(split.train),
        "validation": len(split.validation) or f"{split.validation_fraction:.0%} of the cells",
        "test": len(split.test),
    }
