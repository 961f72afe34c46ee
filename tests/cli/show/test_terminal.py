"""What our packages log becomes lines for the user."""

import logging
import sys

import pytest

from cli.show.progress import Bar
from cli.show.tables import pairs
from cli.show.terminal import HOUSE, listen_closely, listening, show


@pytest.mark.parametrize("package", HOUSE)
def test_what_a_package_logs_is_a_plain_line_on_standard_error(
    package: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with listening():
        logging.getLogger(f"{package}.some.module").info("%d cells", 3)
        logging.getLogger(f"{package}.some.module").debug("a detail")
    logging.getLogger(f"{package}.some.module").info("after the command")
    assert capsys.readouterr() == ("", "3 cells\n")


def test_debug_says_details_too(capsys: pytest.CaptureFixture[str]) -> None:
    with listening():
        listen_closely()
        logging.getLogger("cluster.train").debug("a detail")
    assert capsys.readouterr().err == "a detail\n"


def test_one_long_line_fills_no_other_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show(pairs({"state": "done", "why": "a sentence " * 30}), "", "the end")
    assert capsys.readouterr().out.split("\n") == [
        "  state    done",
        f"  why      {'a sentence ' * 30}".rstrip(),
        "",
        "the end",
        "",
    ]


def test_a_line_comes_above_a_live_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with listening(), Bar("work", unit="steps") as bar:
        bar.update(1, 2)
        logging.getLogger("data_store").info("said meanwhile")
        bar.update(2, 2)
    err = capsys.readouterr().err
    assert "said meanwhile\n" in err.replace("\r\n", "\n")
    assert err.index("said meanwhile") < err.rindex("2/2")
