"""`scdfm report`: from a run, a sweep or an evaluation to a page, and refusals in one line."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from cli.main import run as command
from cluster.report.page import Table, Text
from cluster.settings.config import make_run
from cluster.train import train_here
from sweeps.directory import SweepDirectory
from sweeps.report import search_section
from sweeps.schema.sweep import SweepConfig
from tests.cluster.small import settings
from tests.report.chromium import FAULTS, Browser

pytestmark = pytest.mark.slow


class Ended(NamedTuple):
    """How the command ended."""

    status: int
    out: str
    err: str


Call = Callable[..., Ended]


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `scdfm report`."""

    def call(*arguments: object) -> Ended:
        capsys.readouterr()
        status = command(["report", *map(str, arguments)])
        return Ended(status, *capsys.readouterr())

    return call


@pytest.fixture(scope="module")
def reported(tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was never evaluated before its report was written."""
    values = settings(tiny_store_path, tmp_path_factory.mktemp("reported"))
    done = train_here(make_run(values, where="test")).directory
    assert command(["report", str(done)]) == 0
    return done


def test_a_browser_shows_it_without_a_fault(reported: Path, chromium: Browser) -> None:
    shown = chromium.open(reported / "report.html", width=390, height=844, dark=True)
    assert [method for method, _ in shown.events if method in FAULTS] == []
    asked = [told for method, told in shown.events if method == "Network.requestWillBeSent"]
    assert len(asked) == 1
    assert shown.value("document.documentElement.scrollWidth") == 390
    sizes = shown.value(
        "[...document.querySelectorAll('figure svg')]"
        ".map(one => one.getBoundingClientRect().height)"
    )
    assert len(sizes) > 8
    assert min(sizes) > 100


def sections(page: Path) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", page.read_text())


def test_a_run_is_evaluated_first_the_result_kept_and_all_of_it_shown(reported: Path) -> None:
    assert (reported / "evaluation" / "evaluation.json").is_file()
    text = (reported / "report.html").read_text()
    found = sections(reported / "report.html")
    assert found[:2] == ["Scores", "Scores by context"]
    assert {"Conditions", "Map of cells", "Training", "Split", "Provenance", "Glossary"} <= {*found}
    evaluation = json.loads((reported / "evaluation" / "evaluation.json").read_text())
    for row, table in evaluation["tables"].items():
        assert f">{row}</button>" in text
        assert f'data-value="{table["overall"]["mse"]["value"]}"' in text
    assert evaluation["fingerprint"][:12] in text


def test_a_second_report_reads_what_was_kept_though_the_store_is_gone(
    reported: Path, report: Call, tmp_path: Path
) -> None:
    moved = shutil.copytree(reported, tmp_path / "moved")
    kept = moved / "evaluation" / "evaluation.json"
    evaluation = json.loads(kept.read_text()) | {"store": str(tmp_path / "gone.zarr")}
    evaluation["tables"]["scDFM"]["overall"]["l2"]["value"] = 0.123456789
    for table in evaluation["tables"].values():  # as `evaluate --metrics` may leave it out
        for scores in (
            table["overall"],
            *table["contexts"].values(),
            *table["conditions"].values(),
        ):
            del scores["mse"]
    kept.write_text(json.dumps(evaluation))
    ended = report(moved, "--format", "md", "--figures", tmp_path / "figures")
    assert ended.status == 0, ended.err
    assert "only the cells that were kept" in ended.err
    assert "generating" not in ended.err
    text = (moved / "report.md").read_text()
    assert "0.1235" in text
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.pdf")}
    assert drawn == {path.stem for path in (moved / "report-figures").glob("*.svg")}
    assert {"cell-map", "l2-by-condition", "loss", "split", "validation"} <= drawn
    assert any(name.startswith("case-") for name in drawn)


def test_a_file_of_an_evaluation_is_reported_without_cells(
    reported: Path, report: Call, tmp_path: Path
) -> None:
    file = shutil.copy(reported / "evaluation" / "evaluation.json", tmp_path / "found.json")
    ended = report(file)
    assert (ended.status, ended.out.strip()) == (0, f"report {tmp_path / 'found.html'}")
    assert sections(tmp_path / "found.html") == [
        "Scores",
        "Scores by context",
        "Conditions",
        "Glossary",
    ]


TRIED = [{"loss.mmd_weight": 0.1 * (k + 1), "model.width": 16 * (1 + k % 2)} for k in range(6)]
LISTED = {"configurations": {f"number {k}": one for k, one in enumerate(TRIED)}}
SPACE = {
    "space": {
        "loss.mmd_weight": {"type": "float", "low": 0.1, "high": 2, "log": True},
        "model.width": {"type": "choice", "values": [16, 32]},
    },
    "budget": {"trials": 8},
}


def a_sweep(reported: Path, output: Path, *, trials: int, listed: bool = False) -> SweepDirectory:
    """A sweep with some finished trials, the last but one stopped early."""
    base = settings(Path(json.loads((reported / "manifest.json").read_text())["store"]), output)
    given = {name: base.pop(name) for name in ("name", "output", "split")}
    sweep = SweepConfig.model_validate(
        {
            "name": "searched",
            "output": given["output"],
            "base": base,
            "splits": [given["split"]],
            **(LISTED if listed else SPACE),
        }
    )
    directory = SweepDirectory(sweep.directory)
    directory.path.mkdir(parents=True)
    directory.lock.take(sweep, fingerprint="0" * 64, begun=False)
    for k in range(trials):
        value, stopped = 1 / (k + 2), k == trials - 2
        directory.ledger.write(
            {"event": "start", "trial": f"t{k}", "configuration": TRIED[k], "baseline": k == 0}
        )
        directory.ledger.write({"event": "round", "trial": f"t{k}", "rung": 1, "value": 2 * value})
        if not stopped:
            directory.ledger.write({"event": "split", "trial": f"t{k}", "split": 0, "value": value})
        directory.ledger.write(
            {"event": "pruned" if stopped else "complete", "trial": f"t{k}", "seconds": 60.0}
        )
    return directory


def test_a_sweep_shows_its_search_then_its_best_model(
    reported: Path, report: Call, tmp_path: Path
) -> None:
    directory = a_sweep(reported, tmp_path, trials=6)
    shutil.copytree(reported / "model", directory.best)
    shutil.copytree(reported, directory.trial("t5") / "split-0")
    ended = report(directory.path, "--out", tmp_path / "sweep.html")
    assert ended.status == 0, ended.err
    # It was evaluated where it was trained, as by `final`: nothing is generated again.
    assert "evaluating" not in ended.err
    assert not (directory.best / "evaluation").exists()
    found = sections(tmp_path / "sweep.html")
    assert found[:2] == ["Search", "Scores"]
    assert "Training" in found  # of the trial that the best model came out of
    text = (tmp_path / "sweep.html").read_text()
    assert re.findall(r'<th scope="row" data-value="(\d)">', text)[:6] == list("643215")
    for title in ("History of the search", "Which settings matter", "All settings together"):
        assert f"<b>{title}.</b>" in text


def test_a_list_of_configurations_is_told_by_its_names(reported: Path, tmp_path: Path) -> None:
    section = search_section(a_sweep(reported, tmp_path, trials=4, listed=True))
    [trials] = [block for block in section.blocks if isinstance(block, Table)]
    assert [row[0].note for row in trials.rows] == [f"number {k}" for k in (3, 1, 0, 2)]
    assert [block.text for block in section.blocks if isinstance(block, Text)][1:] == [
        "The configurations were listed, not proposed: all of them were tried."
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["none"], "no such run, sweep or evaluation: none"),
        (["empty"], "expected a run, a sweep or a model, got empty"),
        (["plain.txt"], "expected a run, a sweep or a .json file of `evaluate --out`"),
        (["other.json"], "expected an evaluation of `scdfm evaluate --out` in other.json"),
        (["text.json"], "expected an evaluation of `scdfm evaluate --out` in text.json"),
        (["bytes.json"], "expected an evaluation of `scdfm evaluate --out` in bytes.json"),
        (["RUN", "--out", "empty"], "expected a file name for --out, got the directory empty"),
        (["RUN", "--out", "a.pdf"], "expected --out to end in .html, got a.pdf"),
        (["RUN", "--out", "no/a.html"], "expected a directory no for a.html"),
        (["RUN", "--figures", "other.json"], "expected a folder for --figures, got the file"),
        (["RUN", "--conditions", "G1+G2"], "condition 'G1+G2' is not in the data"),
        (["SWEEP"], "none of the 1 trials of"),
        (["ENDLESS"], "the sweep has not ended; run `scdfm tune` to its end"),
    ],
    ids=lambda one: "-".join(one) if isinstance(one, list) else "",
)
def test_what_cannot_be_reported_is_refused_in_one_line_and_nothing_is_written(
    reported: Path,
    report: Call,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    Path("other.json").write_text('{"a": 1}')
    Path("text.json").write_text("plain text")
    Path("bytes.json").write_bytes(b"\x89PNG")
    Path("plain.txt").touch()
    places = {"RUN": str(reported)}
    if "SWEEP" in given:
        directory = a_sweep(reported, tmp_path, trials=0)
        start = {"event": "start", "trial": "t", "configuration": {}, "baseline": True}
        directory.ledger.write(start)  # type: ignore[arg-type]
        places["SWEEP"] = str(directory.path)
    if "ENDLESS" in given:
        places["ENDLESS"] = str(a_sweep(reported, tmp_path, trials=3).path)
    before = {*tmp_path.rglob("*")}
    ended = report(*(places.get(one, one) for one in given))
    assert ended.status == 2
    lines = [line for line in ended.err.splitlines() if line.startswith("scdfm: ")]
    assert [said in " ".join(lines[0].split())] == [True] * len(lines), ended.err
    assert {*tmp_path.rglob("*")} == before
