"""What a reader's browser makes of a report, in a headless Chromium."""

from pathlib import Path

import pytest

from tests.report.chromium import FAULTS, Browser

pytestmark = pytest.mark.slow

PHONE, DESKTOP = (390, 844), (1280, 900)
SECOND = "[...document.querySelectorAll('article')[0].querySelectorAll('table')[1].tBodies[0].rows]"
FIRST = "[...document.querySelector('table').tBodies[0].rows]"


@pytest.fixture(scope="module")
def shown(chromium: Browser, html: Path) -> Browser:
    """The page on a desktop."""
    return chromium.open(html, width=DESKTOP[0], height=DESKTOP[1])


def test_no_request_leaves_the_file_and_nothing_is_said_on_the_console(
    chromium: Browser, html: Path
) -> None:
    for dark, (width, height) in ((False, DESKTOP), (True, PHONE)):
        shown = chromium.open(html, width=width, height=height, dark=dark)
        asked = [
            told["request"]["url"]
            for method, told in shown.events
            if method == "Network.requestWillBeSent"
        ]
        assert asked == [html.resolve().as_uri()]
        assert [told for told in shown.events if told[0] in FAULTS] == []


def test_a_request_that_is_tried_is_stopped_and_heard(chromium: Browser, html: Path) -> None:
    shown = chromium.open(html, width=800, height=600)
    tried = "fetch('https://example.org/').then(() => 'sent', () => 'stopped')"
    answer = shown.ask("Runtime.evaluate", expression=tried, awaitPromise=True)
    assert answer["result"]["value"] == "stopped"
    assert "Log.entryAdded" in [method for method, _ in shown.events]


def test_every_figure_has_a_size_and_a_text(chromium: Browser, html: Path) -> None:
    for width, height in (DESKTOP, PHONE):
        shown = chromium.open(html, width=width, height=height)
        figures = shown.value(
            "[...document.querySelectorAll('figure')].map(one => {"
            " const svg = one.querySelector('svg'), box = svg.getBoundingClientRect();"
            " return [box.width, box.height, svg.getAttribute('role'),"
            " svg.getAttribute('aria-label').length, one.querySelector('figcaption').innerText]})"
        )
        assert len(figures) == 13
        for wide, high, role, text, caption in figures:
            assert 200 < wide < 1200
            assert 100 < high < 900
            assert (role, text > 25, bool(caption)) == ("img", True, True)


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_the_page_without_scrolling_sideways_and_text_stands_out(
    chromium: Browser, html: Path, dark: bool
) -> None:
    shown = chromium.open(html, width=PHONE[0], height=PHONE[1], dark=dark)
    assert shown.value("document.documentElement.scrollWidth") == PHONE[0]
    paper = shown.value("getComputedStyle(document.body).backgroundColor")
    of_text = "getComputedStyle(document.querySelector('figure svg text')).fill"
    for ink in (shown.value("getComputedStyle(document.body).color"), shown.value(of_text)):
        assert abs(_brightness(ink) - _brightness(paper)) > 150
    assert (_brightness(paper) < 100) is dark


def test_a_table_sorts_by_a_click_and_by_the_keyboard(shown: Browser) -> None:
    names = f"{FIRST}.map(row => row.cells[0].innerText)"
    button = "document.querySelectorAll('thead')[0].querySelectorAll('button')[2]"
    assert shown.value(names) == ["mse", "l2", "mae"]
    shown.value(f"{button}.click()")
    assert shown.value(names) == ["mae", "mse", "l2"]  # by 0.3, 0.5, 20: numbers, not text
    assert shown.value(f"{button}.parentElement.getAttribute('aria-sort')") == "ascending"
    shown.value(f"{button}.focus()")
    assert shown.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    for kind in ("keyDown", "keyUp"):
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"}
        shown.ask("Input.dispatchKeyEvent", type=kind, **key)
    assert shown.value(names) == ["l2", "mse", "mae"]
    last = "document.querySelectorAll('thead')[0].querySelectorAll('button')[3]"
    shown.value(f"{last}.click(); {last}.click()")
    assert shown.value(names) == ["l2", "mae", "mse"]  # what is undefined stays last


def test_conditions_are_filtered_and_shown_by_another_metric(shown: Browser) -> None:
    filtering = "document.querySelector('[data-scores] [data-filter]')"
    visible = f"{SECOND}.filter(row => !row.hidden).length"
    assert shown.value(visible) == 15
    shown.value(f"{filtering}.value = 'g1'; {filtering}.dispatchEvent(new Event('input'))")
    assert shown.value(visible) == 5  # G1, G10 to G13
    shown.value(f"{filtering}.value = ''; {filtering}.dispatchEvent(new Event('input'))")
    before = shown.value(f"{SECOND}.map(row => row.cells[1].innerText)")
    menu = "document.querySelector('[data-metric]')"
    shown.value(f"{menu}.value = 'pearson_delta'; {menu}.dispatchEvent(new Event('change'))")
    assert shown.value(f"{SECOND}.map(row => row.cells[1].innerText)") != before
    assert shown.value(f"{SECOND}[0].cells[2].innerText") == "-"
    best = shown.value(f"{SECOND}.map(row => [...row.cells].map(one => one.className).join())")
    assert set(best) == {",best,,", ",,best,"}  # the third is no rival


def test_names_are_text_and_never_markup(shown: Browser) -> None:
    assert shown.value("window.broken") is None
    assert shown.value("document.querySelectorAll('script').length") == 2  # data and ours


def _brightness(colour: str) -> float:
    """Of an rgb() text, from 0 to 255."""
    red, green, blue = (float(one) for one in colour.split("(")[1].rstrip(")").split(",")[:3])
    return 0.299 * red + 0.587 * green + 0.114 * blue
