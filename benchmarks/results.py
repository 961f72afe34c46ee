"""Train and judge on the real cells, over folds or left-out contexts, and write docs/results.md.

    SCDFM_DATA=CELLS python benchmarks/results.py --out docs/results.md --work results

Every run and evaluation is kept under --work, so the command goes on where it was stopped. With
--method control nothing is trained: the tables then hold the baselines and the noise ceiling.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from real_cells import SCREENS, Screen

from cluster.runs.provenance import commit
from cluster.settings.config import make_run
from cluster.train import train_here
from cluster.work.comparison.compare import Comparison, compare
from cluster.work.comparison.evaluated import evaluated

METRICS = ("mse", "mse_corrected", "pearson_delta", "discrimination_score_l1", "overlap_at_N")


def results(
    screen: Screen, *, data: Path, work: Path, method: str, steps: int | None
) -> Comparison:
    """Train and judge the runs of a screen; what is there is not made again."""
    store = screen.store(data, work=work)
    runs = []
    for number, split in enumerate(screen.splits):
        values: dict[str, Any] = {
            "store": str(store),
            "output": str(work / "runs"),
            "name": f"{screen.name}-{method}-{steps or 'usual'}-{number}",
            "split": split,
            **screen.settings,
        }
        if method == "flow":
            values["preset"] = "small"
            if steps is not None:
                values["training"] = {"steps": steps, "validate_every": max(1, steps // 4)}
        else:
            genes = {"model": 300, "evaluation": 300}
            values |= {"method": method, "graph": "none", "genes": genes}
        runs.append(train_here(make_run(values, where=screen.name)).directory)
    return compare(runs, evaluated(runs, metrics=METRICS))


def page(found: dict[str, Comparison], *, command: str) -> str:
    """The tables as Markdown."""
    parts = [
        "# Results on real cells",
        "",
        "Mean (standard deviation) over folds or left-out contexts; for one split, the value. "
        "The best",
        "of each column in bold, the noise ceiling (half of the real cells against the other) "
        "aside.",
        "",
        f"Command `{command}`, commit {(commit() or 'unknown')[:12]}.",
    ]
    for name, one in found.items():
        parts += ["", f"## {name}", "", *_table(one), "", *_wins(one)]
    return "\n".join(parts) + "\n"


def _table(found: Comparison) -> list[str]:
    from scdfm.metrics import METRICS as KNOWN

    rows = {row: scores for row, scores in found.tables.items() if row != "noise ceiling"}
    lines = [f"| {len(found.runs)} runs | {' | '.join(METRICS)} |", "|---|" + "---|" * len(METRICS)]
    best = {}
    for metric in METRICS:
        values = [scores[metric].value for scores in rows.values() if scores[metric].runs]
        if values:
            best[metric] = min(values) if KNOWN[metric].mode == "min" else max(values)
    for row, scores in found.tables.items():
        cells = []
        for metric in METRICS:
            one = scores[metric]
            text = f"{one.value:.5f}" + (f" ({one.sd:.5f})" if one.runs > 1 else "")
            won = row in rows and one.value == best.get(metric)
            cells.append("-" if not one.runs else f"**{text}**" if won else text)
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return lines


def _wins(found: Comparison) -> list[str]:
    first = next(iter(found.tables))
    lines = []
    for row, metrics in found.differences.items():
        one = metrics["mse"]
        if row != "noise ceiling" and one.runs:
            noise = " (within noise)" if one.within_noise else ""
            lines.append(
                f"- {first} less {row}: mse {one.value:+.5f}, better in {one.wins} of "
                f"{one.runs}{noise}"
            )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page, after each screen again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/results.md"))
    parser.add_argument("--work", type=Path, required=True, help="folder of stores and runs")
    parser.add_argument("--method", default="flow", help="flow, or a baseline: trains nothing")
    parser.add_argument("--steps", type=int, help="of training (default: the preset's)")
    parser.add_argument("--screens", nargs="*", default=[one.name for one in SCREENS])
    asked = parser.parse_args(arguments)
    data = Path(os.environ["SCDFM_DATA"])
    asked.work.mkdir(parents=True, exist_ok=True)
    words = f"--method {asked.method}" + (f" --steps {asked.steps}" if asked.steps else "")
    found = {}
    for screen in SCREENS:
        if screen.name in asked.screens:
            found[screen.name] = results(
                screen, data=data, work=asked.work, method=asked.method, steps=asked.steps
            )
            asked.out.write_text(page(found, command=f"python benchmarks/results.py {words}"))


if __name__ == "__main__":
    main()
