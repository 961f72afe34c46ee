"""Which exception means which exit status, and how it is worded."""

import errno

import pytest
import typer
from pydantic import BaseModel, PositiveInt

from cli.errors import explain
from cluster.options import TrainOptions


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ValueError("wrong"), 2),
        (FileNotFoundError("gone"), 2),
        (FileExistsError("there"), 2),
        (PermissionError("closed"), 2),
        (IsADirectoryError("folder"), 2),
        (RuntimeError("broken"), 1),
        (OSError(errno.ENOSPC, "No space left on device"), 1),
        (FloatingPointError("the loss is nan"), 1),
        (ConnectionError("nobody answers"), 1),
        (MemoryError(), 1),
        (KeyError("bug"), 1),
        (KeyboardInterrupt(), 130),
        (typer.BadParameter("wrong"), 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_bad_input_is_2_and_failed_work_is_1(error: BaseException, status: int) -> None:
    failure = explain(error)
    assert failure.status == status
    assert failure.line
    assert "\n" not in failure.line


def test_an_error_of_the_system_names_the_file() -> None:
    with pytest.raises(FileNotFoundError) as caught, open("/no/such/file"):
        pass
    assert explain(caught.value).line == "/no/such/file: No such file or directory"


def test_a_read_only_disk_is_bad_input_and_the_draft_has_its_files_name() -> None:
    error = OSError(errno.EROFS, "Read-only file system", "full/.x.h5ad.8547.tmp")
    told = "cannot write full/x.h5ad: its disk is read-only; name another place"
    assert explain(error) == (told, 2)
    error = OSError(errno.EIO, "Input/output error", "runs/.a.old.12.old/b")
    assert explain(error) == ("runs/a.old/b: Input/output error", 1)


def test_a_full_disk_says_what_to_do() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "runs/a/.metrics.jsonl.12.tmp")
    told = "runs/a/metrics.jsonl: No space left on device; free some space and run again"
    assert explain(error) == (told, 1)


def test_several_lines_become_one() -> None:
    assert explain(ValueError("a\n  b")).line == "a b"


def test_an_endless_message_is_cut() -> None:
    assert len(explain(RuntimeError("x" * 9_000)).line) < 1_100


def test_a_bad_option_is_named_as_it_is_typed() -> None:
    class Options(BaseModel):
        min_cells: PositiveInt

    with pytest.raises(ValueError, match="greater than 0") as caught:
        Options.model_validate({"min_cells": -1})
    line = explain(caught.value).line
    assert line == "--min-cells: must be greater than 0, got -1"


def test_what_came_is_said_once_and_in_our_words() -> None:
    with pytest.raises(ValueError, match="such as 2") as caught:
        TrainOptions.model_validate({"workers": "two"})
    line = explain(caught.value).line
    assert line.startswith("--workers: workers must be a number from 1 on")
    assert line.count("got ") == 1
    typed = typer.BadParameter("Input should be greater than or equal to 2")
    assert explain(typed).line.endswith("must be greater than or equal to 2")


def test_what_a_worker_raised_is_said_and_not_what_ray_wraps_around_it() -> None:
    class TaskError(RuntimeError):
        cause = ValueError("expected counts")

    assert explain(TaskError("a long traceback")) == ("expected counts", 2)


def test_an_unforeseen_error_asks_to_be_reported() -> None:
    assert "KeyError" in explain(KeyError("bug")).line
    assert "--debug" in explain(KeyError("bug")).line
