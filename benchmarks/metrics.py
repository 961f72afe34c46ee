"""Differential expression scores beside cell-eval, and a large screen in little memory.

    python benchmarks/metrics.py                    # 40 conditions x 1,000 genes x 300 cells
    python benchmarks/metrics.py --sparse           # the same as sparse matrices
    python benchmarks/metrics.py --large            # 500 conditions x 5,000 genes, ours alone

Both sides get the same two AnnData, of real and predicted cells, and compute the same metrics
with all CPUs, turn by turn in processes of their own; the first turn, in which cell-eval's loops
are compiled, does not count. Their numbers are compared, too.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rounds import Facts, interleave, median, ratio, serve, status, table

METRICS = (
    "de_spearman_sig", "de_spearman_lfc_sig", "de_direction_match", "de_sig_genes_recall",
    "overlap_at_N", "overlap_at_50", "overlap_at_100", "precision_at_N", "pr_auc",
)  # fmt: skip
SIDES = ("scdfm", "cell-eval")
MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Size:
    """Of a made-up screen."""

    conditions: int
    genes: int
    cells: int
    controls: int

    def __str__(self) -> str:
        return (
            f"{self.conditions} conditions x {self.genes:,} genes x {self.cells} cells on each "
            f"side, {self.controls:,} controls"
        )


SMALL = Size(conditions=40, genes=1_000, cells=300, controls=1_000)
LARGE = Size(conditions=500, genes=5_000, cells=100, controls=1_000)


class Screen:
    """Log counts of Norman's kind, drawn when they are asked for."""

    def __init__(self, size: Size) -> None:
        draw = np.random.default_rng(0)
        self.size = size
        self.mean = np.exp(draw.normal(-1.5, 1.7, size.genes)).clip(max=40)
        changed = draw.random((size.conditions, size.genes)) < 0.1
        self.effects = np.where(changed, draw.normal(0, 0.7, changed.shape), 0)
        self.control = self._cells(np.zeros(size.genes), count=size.controls, seed=(1,))

    def real(self, condition: int) -> NDArray[np.float32]:
        """Cells of a condition, (cells, genes)."""
        return self._cells(self.effects[condition], count=self.size.cells, seed=(2, condition))

    def predicted(self, condition: int) -> NDArray[np.float32]:
        """Cells of a model that is about right."""
        noise = np.random.default_rng((3, condition)).normal(0, 0.1, self.size.genes)
        shift = 0.7 * self.effects[condition] + noise
        return self._cells(shift, count=self.size.cells, seed=(4, condition))

    def _cells(
        self, shift: NDArray[np.float64], *, count: int, seed: tuple[int, ...]
    ) -> NDArray[np.float32]:
        draw = np.random.default_rng(seed)
        depth = np.exp(draw.normal(0, 0.35, (count, 1)))
        counts = draw.poisson(self.mean * np.exp(shift) * depth)
        return np.log1p(counts / depth).astype(np.float32)


def pair(screen: Screen, *, sparse: bool) -> tuple[object, object]:
    """Real and predicted AnnData, with the controls in both."""
    import anndata
    import pandas as pd
    from scipy.sparse import csr_matrix

    names = [f"P{i:03}" for i in range(screen.size.conditions)]
    sizes = [screen.size.controls, *[screen.size.cells] * len(names)]
    obs = pd.DataFrame({"condition": pd.Categorical(np.repeat(["control", *names], sizes))})
    obs.index = obs.index.astype(str)
    made = []
    for of in (screen.real, screen.predicted):
        values = np.concatenate([screen.control, *(of(i) for i in range(len(names)))])
        made.append(anndata.AnnData(X=csr_matrix(values) if sparse else values, obs=obs.copy()))
    return made[0], made[1]


def child(side: str, *, sparse: bool) -> None:
    """Take turns for one side."""
    real, predicted = pair(Screen(SMALL), sparse=sparse)
    work = _ours if side == "scdfm" else _theirs
    serve(lambda: work(real, predicted))


def _ours(real: object, predicted: object) -> Facts:
    import scdfm

    scores = scdfm.score(predicted, real=real, metrics=METRICS)  # type: ignore[arg-type]
    return {name: scores[name].tolist() for name in METRICS}


def _theirs(real: object, predicted: object) -> Facts:
    from cell_eval import MetricsEvaluator
    from cell_eval.metrics import metrics_registry

    # Only what we compute, too: it has more of the same kind.
    others = [name for name in metrics_registry.list_metrics() if name not in METRICS]
    with tempfile.TemporaryDirectory() as folder:
        evaluator = MetricsEvaluator(
            adata_pred=predicted, adata_real=real, control_pert="control",
            pert_col="condition", outdir=f"{folder}/out",
        )  # fmt: skip
        results, _ = evaluator.compute(profile="de", skip_metrics=others, write_csv=False)
    ordered = results.sort("perturbation")
    return {name: ordered[name].to_list() for name in METRICS}


def beside(*, sparse: bool, rounds: int) -> str:
    """A table of both sides, after a look at their numbers."""
    command = [sys.executable, __file__, *(["--sparse"] if sparse else []), "--child"]
    turns, _ = interleave(
        {side: [*command, side] for side in SIDES},
        rounds=rounds,
        note=lambda line: print(line, file=sys.stderr, flush=True),
    )
    ours, theirs = (turns[side] for side in SIDES)
    for name in METRICS:
        pair = [np.array(of[-1].facts[name], dtype=float) for of in (ours, theirs)]
        np.testing.assert_allclose(*pair, rtol=1e-5, err_msg=name)
    rows = [
        [
            side,
            median(of, of=lambda one: one.wall),
            median(of, of=lambda one: one.cpu),
            median(of, of=lambda one: one.added / MEBIBYTE),
        ]
        for side, of in turns.items()
    ]
    lines = [
        f"{SMALL}, {'sparse' if sparse else 'dense'}, {os.cpu_count()} CPUs, {rounds} rounds",
        "",
        table(["side", "wall s", "CPU s", "added MiB"], rows),
        "",
        f"cell-eval over scdfm: wall {ratio(theirs, ours, of=lambda one: one.wall)}, "
        f"CPU {ratio(theirs, ours, of=lambda one: one.cpu)}, "
        f"added memory {ratio(theirs, ours, of=lambda one: max(one.added, MEBIBYTE))}; "
        "equal numbers",
    ]
    return "\n".join(lines)


def large() -> str:
    """Time and memory of every usual metric on a screen that is never in memory as a whole."""
    from scdfm.metrics import UnitCells, evaluate
    from scdfm.metrics.gather import gather

    screen = Screen(LARGE)
    drawing = 0.0

    def units() -> Iterator[UnitCells]:
        nonlocal drawing
        for condition in range(LARGE.conditions):
            begin = time.perf_counter()
            real, predicted = screen.real(condition), screen.predicted(condition)
            drawing += time.perf_counter() - begin
            yield UnitCells(
                context="c", condition=f"P{condition}", real=real,
                control=screen.control, predicted=predicted,
            )  # fmt: skip

    before, begin = status("VmRSS"), time.perf_counter()
    evidence = gather(units(), genes=[f"G{i}" for i in range(LARGE.genes)])
    gathered = time.perf_counter() - begin
    scores = evaluate(evidence).overall
    total = time.perf_counter() - begin
    cells = 2 * LARGE.conditions * LARGE.cells * LARGE.genes * 4
    return (
        f"{LARGE}: {len(scores)} metrics in {total:.0f} s ({drawing:.0f} s of them drawing cells, "
        f"{total - gathered:.0f} s after the last), "
        f"{(status('VmHWM') - before) / MEBIBYTE:.0f} MiB added; the cells alone are "
        f"{cells / MEBIBYTE:,.0f} MiB"
    )


def main() -> None:
    """Take the part that is asked for."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--sparse", action="store_true", help="cells as sparse matrices")
    options.add_argument("--large", action="store_true", help="the large screen, ours alone")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--child", choices=SIDES, help=argparse.SUPPRESS)
    asked = options.parse_args()
    if asked.child:
        child(asked.child, sparse=asked.sparse)
    elif asked.large:
        print(large())
    else:
        print(beside(sparse=asked.sparse, rounds=asked.rounds))


if __name__ == "__main__":
    main()
