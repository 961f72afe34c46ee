"""A training step: the release's against ours on the same network, and ours against the machine.

    python benchmarks/train_step.py --release CHECKOUT [--json]

A step is the whole of it: noise, forward pass, losses, backward pass, optimiser. Sides take turns
in processes of their own, with the same number of threads. Memory is what steps add to a child
whose network and optimiser state are already there.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from rounds import Facts, Turn, interleave, median, quartiles, ratio, table
from steps import CASES, SIDES, Case

NAMES = {
    "release": "release",
    "same": "ours, release's form",
    "paper": "ours, paper's form",
    "matmul": "matrix product",
}


def main() -> None:
    """Compare at every size that was asked for."""
    options = parse()
    torch.set_num_threads(options.threads)
    if options.side:
        SIDES[options.side](CASES[options.case], options)
        return
    names = list(CASES) if options.case == "all" else [options.case]
    results = {name: compare(name, options) for name in names}
    rows = [row for result in results.values() for row in result["rows"]]
    print(table(["step", "side", "CPU s", "wall s", "added GiB", "GFLOP/s"], rows))
    for result in results.values():
        print("", *result["lines"], sep="\n")
    if options.json:
        figures = {name: result["figures"] for name, result in results.items()}
        print(json.dumps({**figures[names[0]], "cases": figures}))


def parse() -> argparse.Namespace:
    """Read the command line; children are told more than the help shows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--release", type=Path, metavar="CHECKOUT", help="the release's repository")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--case", choices=[*CASES, "all"], default="all")
    parser.add_argument("--genes", type=int, default=1000, help="of a step")
    parser.add_argument("--all-genes", type=int, default=5033, help="of the vocabulary")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--products", type=int, default=20, help="in a turn at the machine's peak")
    parser.add_argument("--json", action="store_true", help="end with one line of JSON")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.release is None:
        parser.error("expected --release CHECKOUT, a folder with the release's repository")
    return options


def compare(name: str, options: argparse.Namespace) -> Facts:
    """Let all sides take turns at one size."""
    case = CASES[name]
    command = [sys.executable, __file__, "--case", name]
    for option in ("release", "genes", "all_genes", "threads", "products"):
        command += [f"--{option.replace('_', '-')}", str(getattr(options, option))]
    print(f"{case}: {options.rounds} rounds after one that warms up", file=sys.stderr)
    turns, said = interleave(
        {side: [*command, "--side", side] for side in SIDES},
        rounds=options.rounds,
        note=lambda line: print(line, file=sys.stderr, flush=True),
    )
    flop = {"release": said["matmul"]["flop"]["same"], **said["matmul"]["flop"]}
    figures = _figures(turns, flop=flop)
    figures |= {"case": str(case), "threads": options.threads, "rounds": options.rounds}
    figures |= {"matmul": said["same"]["matmul"], "matmul_release": said["release"]["matmul"]}
    return {
        "rows": [_row(case, side, turns[side], flop=flop.get(side)) for side in SIDES],
        "lines": _lines(case, figures),
        "figures": figures,
    }


def _figures(turns: dict[str, list[Turn]], *, flop: dict[str, float]) -> Facts:
    def wall(turn: Turn) -> float:
        return turn.wall

    ratios = {
        "ratio_time": ratio(turns["release"], turns["same"], of=wall),
        "ratio_cpu": ratio(turns["release"], turns["same"], of=lambda turn: turn.cpu),
        "ratio_memory": ratio(turns["release"], turns["same"], of=_added),
        "ratio_paper": ratio(turns["same"], turns["paper"], of=wall),
        "peak_fraction": quartiles(
            [
                (flop["paper"] / step.wall) / (peak.facts["flop"] / peak.wall)
                for step, peak in zip(turns["paper"], turns["matmul"], strict=True)
            ]
        ),
    }
    medians = {name: value.median for name, value in ratios.items()}
    return medians | {f"{name}_lower": value.lower for name, value in ratios.items()}


def _lines(case: Case, figures: Facts) -> list[str]:
    def both(name: str) -> str:
        return f"{figures[name]:.2f} (lower quartile {figures[f'{name}_lower']:.2f})"

    return [
        f"{case}, release / ours in its form: {both('ratio_time')} x wall time, "
        f"{both('ratio_cpu')} x CPU time, {both('ratio_memory')} x added memory",
        f"{case}, ours in the release's form / in the paper's: {both('ratio_paper')} x wall time",
        f"{case}, paper's form: {both('peak_fraction')} of the matrix product's speed",
        f"{case}, float32 products: ours {figures['matmul']!r}, release "
        f"{figures['matmul_release']!r}",
    ]


def _row(case: Case, side: str, turns: list[Turn], *, flop: float | None) -> list[object]:
    speed = [(flop or turn.facts["flop"]) / turn.wall / 1e9 for turn in turns]
    return [
        str(case),
        NAMES[side],
        median(turns, of=lambda turn: turn.cpu),
        median(turns, of=lambda turn: turn.wall),
        median(turns, of=_added) / 2**30,
        quartiles(speed).median,
    ]


def _added(turn: Turn) -> float:
    return float(turn.added)


if __name__ == "__main__":
    main()
