"""A file of a plan or a journal that has changed is named; no run goes on with it unseen."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.main import run as scdfm
from cluster.runs.begin import OpenRun
from cluster.runs.directory import RunDirectory
from cluster.runs.history.journal import Journal
from cluster.runs.inspect_run import describe_run
from cluster.settings.config import RunConfig, make_run, write_run
from cluster.train import train_here
from cluster.work.folds.facts import found_alone
from tests.cluster.small import settings

pytestmark = pytest.mark.slow

FILES = ("split.json", "genes.json", "graph.npz", "given.safetensors")


@pytest.fixture(scope="module")
def stopped(tiny_store_path: Path, tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    """A run with checkpoints of the steps 0, 2 and 4."""
    model = {"width": 16, "layers": 1, "rank": 4}
    values = settings(tiny_store_path, tmp_path_factory.mktemp("stopped"), model=model)
    run = make_run(values, where="test")
    train_here(run, on_round=lambda outcome: outcome.step < 4)
    return run


@pytest.fixture
def whole(stopped: RunConfig) -> Iterator[RunDirectory]:
    """Its directory; the files that a test changes are put back."""
    directory = RunDirectory(stopped.directory)
    files = [directory.path / name for name in (*FILES, "manifest.json", "metrics.jsonl")]
    before = {file: file.read_bytes() for file in files}
    yield directory
    for file, content in before.items():
        file.write_bytes(content)


def flip(file: Path, *, at: int) -> None:
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


def refused(run: RunConfig, folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The error line of `train`, which must change nothing."""
    write_run(run, folder / "run.yaml")
    before = {file: file.stat().st_mtime_ns for file in run.directory.rglob("*")}
    capsys.readouterr()
    assert scdfm(["train", str(folder / "run.yaml")]) == 2
    assert {file: file.stat().st_mtime_ns for file in run.directory.rglob("*")} == before
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_of_a_plan_is_named_by_train_verify_and_inspect(
    stopped: RunConfig,
    whole: RunDirectory,
    tmp_path: Path,
    name: str,
    at: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    flip(whole.path / name, at=at)
    line = refused(stopped, tmp_path, capsys)
    assert f"{whole.path / name} is damaged" in line
    assert f"or delete {whole.path} to begin it again" in line
    assert scdfm(["verify", str(whole.path)]) == 1
    assert f"{name}: its bytes changed" in capsys.readouterr().err


def test_inspect_says_that_a_plan_is_damaged(whole: RunDirectory) -> None:
    assert describe_run(whole.path)["damage"] is None
    flip(whole.path / "genes.json", at=20)
    assert "genes.json is damaged" in str(describe_run(whole.path)["damage"])


def test_a_missing_file_of_a_plan_is_named(stopped: RunConfig, whole: RunDirectory) -> None:
    (whole.path / "given.safetensors").unlink()
    with pytest.raises(ValueError, match=r"not complete: given\.safetensors is missing; restore"):
        OpenRun(stopped).check()


@pytest.mark.parametrize("name", ["genes.json", "given.safetensors"])
def test_a_plan_of_an_older_version_opens_and_names_a_file_that_is_none(
    stopped: RunConfig, whole: RunDirectory, name: str
) -> None:
    begun = whole.manifest
    assert begun is not None
    assert set(begun.plan) == set(FILES)
    whole.write_manifest(begun.model_copy(update={"plan": {}}))
    OpenRun(stopped).check()
    flip(whole.path / name, at=0)
    with pytest.raises(ValueError, match=rf"{name} is damaged; restore the file"):
        train_here(stopped)


def test_a_damaged_plan_of_a_run_that_has_learnt_nothing_is_made_again(
    run: RunConfig,
) -> None:
    opened = OpenRun(run)
    with opened.directory.held() as directory:
        opened.prepare(directory)
        written = (directory.path / "genes.json").read_bytes()
        flip(directory.path / "genes.json", at=20)
        OpenRun(run).prepare(directory)
        assert (directory.path / "genes.json").read_bytes() == written


def test_the_splits_of_folds_belong_to_the_plan(tiny_store_path: Path, tmp_path: Path) -> None:
    values = settings(tiny_store_path, tmp_path, validation={"folds": 2})
    opened = OpenRun(make_run(values, where="test"))
    with opened.directory.held() as directory:
        opened.prepare(directory)
        flip(directory.path / "folds" / "1.json", at=20)
        with pytest.raises(ValueError, match=r"folds/1\.json is damaged"):
            directory.require_plan()


def test_a_damaged_line_before_others_stops_a_resume_and_names_its_number(
    stopped: RunConfig, whole: RunDirectory
) -> None:
    lines = whole.journal.path.read_bytes().splitlines(keepends=True)
    lines[2] = b"~" + lines[2][1:]
    whole.journal.path.write_bytes(b"".join(lines))
    written = whole.journal.path.read_bytes()
    with pytest.raises(ValueError, match=r"metrics\.jsonl line 3 is damaged; restore"):
        train_here(stopped)
    assert whole.journal.path.read_bytes() == written
    assert "line 3 is damaged" in str(describe_run(whole.path)["damage"])
    with pytest.raises(ValueError, match="line 3 is damaged"):
        found_alone(whole, validation=stopped.validation)


@pytest.mark.parametrize("torn", [b'{"step": 3, "lo', b"\0\0\0", b'{"loss": 1}', b"\xff"])
def test_a_torn_last_line_is_left_out_unless_the_run_is_finished(
    tmp_path: Path, torn: bytes
) -> None:
    journal = Journal(tmp_path / "metrics.jsonl")
    journal.write({"step": 1})
    journal.write({"step": 2})
    journal.path.write_bytes(journal.path.read_bytes() + torn)
    assert [line["step"] for line in journal.lines()] == [1, 2]
    with pytest.raises(ValueError, match="line 3 is damaged"):
        journal.complete()
    journal.rewind(1)
    assert journal.path.read_text() == '{"step": 1}\n'


def test_a_damaged_line_after_the_step_of_a_resume_is_written_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "metrics.jsonl")
    journal.path.write_text('{"step": 1}\n{"step": 2}\n~\n{"step": 4}\n')
    assert [line["step"] for line in journal.so_far()] == [1, 2]
    with pytest.raises(ValueError, match="line 3 is damaged"):
        journal.rewind(2)
    journal.rewind(1)
    assert journal.path.read_text() == '{"step": 1}\n'


@pytest.mark.parametrize("damaged", ['{"sessiom": 1}', "3", "~"])
def test_a_damaged_line_of_times_or_of_what_was_said_ends_no_command(
    tmp_path: Path, damaged: str
) -> None:
    directory = RunDirectory(tmp_path)
    directory.times.begin(0, lines=0).tell(2)
    with directory.times.path.open("a") as file:
        file.write(f"{damaged}\n")
    (tmp_path / "log.jsonl").write_text(f'{damaged}\n{{"time": 1, "level": "info", "said": "a"}}\n')
    assert directory.times.sessions == 1
    assert [line["said"] for line in directory.said.newest()] == ["a"]
