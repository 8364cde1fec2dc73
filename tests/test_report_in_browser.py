"""report.html in a real browser: silent, within its width, readable, and reached from the keyboard."""

import csv
import io
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from reports.palette import FOUND
from reports.record import Record
from reports.report import report
from search_space.architecture import Architecture
from search_space.cost.priced_space import PricedSpace
from tests.report_records import candidates, record_of, retrained

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the path: apt-get install chromium")

NETWORKS = (FOUND, "uniform none", "uniform se", "random")
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],
}
LEAST_CONTRAST = 4.5
WIDE, MIDDLE, PHONE = (1280, 900), (900, 900), (400, 800)


@pytest.fixture(scope="module")
def record(tiny_space: PricedSpace) -> Record:
    found = record_of(tiny_space, candidates(tiny_space, 60))
    return replace(found, **retrained(found, NETWORKS))


@pytest.fixture(scope="module")
def address(record: Record, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report(record))
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Opened:
    """The page in a window of its own; it fails where the browser complains."""

    def __init__(self, browser: Any, address: str, size: tuple[int, int], scheme: str = "light"):
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.asked: list[str] = []
        self.page.goto(address)

    def __enter__(self) -> Any:
        return self.page

    def __exit__(self, kind: object, *_: object) -> None:
        self.context.close()
        if kind is None:
            assert not self.complaints
            assert [url for url in self.asked if not url.startswith("data:")][1:] == []


@pytest.mark.parametrize("size", [WIDE, MIDDLE, PHONE])
def test_nothing_reaches_beyond_the_window(browser: Any, address: str, size: tuple[int, int]) -> None:
    with Opened(browser, address, size) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == size[0]


CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const light = colour => {
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map(value => value / 255)
      .map(value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll("svg text")].map(one => {
    const own = light(getComputedStyle(one).fill);
    return [one.textContent, (Math.max(own, paper) + 0.05) / (Math.min(own, paper) + 0.05)];
  });
}"""


@pytest.mark.parametrize(("size", "scheme"), [(WIDE, "light"), (PHONE, "dark")])
def test_everything_can_be_read(browser: Any, address: str, size: tuple[int, int], scheme: str) -> None:
    """By axe-core; and the words in drawings, which it leaves out (those on fields: `test_drawing.py`)."""
    with Opened(browser, address, size, scheme) as page:
        found = axe.Axe().run(page, options=RULES).response["violations"]
        assert [(one["id"], node["html"][:200], node["failureSummary"]) for one in found for node in one["nodes"]] == []
        contrasts = page.evaluate(CONTRAST)
        assert "none" in [words for words, _ in contrasts]
        assert [(words, value) for words, value in contrasts if value < LEAST_CONTRAST] == []


def _shown(page: Any) -> list[str]:
    return page.evaluate("[...document.querySelectorAll('.network')].filter(one => !one.hidden).map(one => one.id)")


def _in_view(page: Any, selector: str) -> bool:
    return page.evaluate(
        """selector => {
          const {top, bottom} = document.querySelector(selector).getBoundingClientRect();
          return top >= 0 && bottom <= innerHeight;
        }""",
        selector,
    )


@pytest.mark.parametrize("size", [WIDE, PHONE])
def test_the_best_is_on_top_and_what_is_chosen_in_view(
    browser: Any, address: str, record: Record, size: tuple[int, int]
) -> None:
    with Opened(browser, address, size) as page:
        scores = page.locator(f"#front table td:nth-child({3 if record.trials else 2})")
        values = [float(scores.nth(row).get_attribute("data-value")) for row in range(scores.count())]
        assert values == sorted((one.score for one in record.front), reverse=True)
        assert page.evaluate(
            "[...document.querySelectorAll('.scroll')].every(one => one.scrollHeight == one.clientHeight)"
        )
        assert scores.first.is_visible()
        tops = "one => new Set([...one.cells].map(cell => cell.getBoundingClientRect().top)).size"
        assert page.locator("#front tr.chosen").evaluate(tops) == 1
        # From the table, far below its drawing.
        row = page.locator("#front tbody tr").last
        row.scroll_into_view_if_needed()
        row.click()
        name = row.get_attribute("data-show")
        assert _shown(page) == [name]
        assert _in_view(page, f"#{name} h3")
        assert row.evaluate("one => getComputedStyle(one).display") == "table-row"
        # From the chart.
        page.locator("#front svg.chart").evaluate("one => one.scrollIntoView()")
        other = page.locator("#front circle.member").last
        other.click()
        assert _shown(page) == [other.get_attribute("data-show")]
        assert _in_view(page, f"#{other.get_attribute('data-show')} h3")


def test_networks_are_chosen_and_held_side_by_side_from_the_keyboard(browser: Any, address: str) -> None:
    with Opened(browser, address, WIDE) as page:
        (best,) = _shown(page)
        page.locator("#front circle.chosen").focus()
        page.keyboard.press("ArrowLeft")
        (chosen,) = _shown(page)
        assert chosen != best
        page.locator(f"#{chosen} [data-keep]").focus()
        page.keyboard.press("Enter")
        row = page.locator(f"tr[data-show={best}] button")
        row.focus()
        page.keyboard.press("Enter")
        assert set(_shown(page)) == {best, chosen}
        differences = page.locator(f"#{best} small").all_text_contents()
        assert len(differences) == 3
        assert differences[0].endswith("points")
        assert differences[1].endswith("%")
        page.locator(f"#{chosen} [data-keep]").click()
        assert _shown(page) == [best]


REACHABLE = """[...document.querySelectorAll("a,button,[tabindex='0'],summary")]
  .filter(one => one.checkVisibility() && !window.reached?.has(one)).map(one => one.outerHTML)"""


def test_everything_is_reached_by_the_tabulator_key(browser: Any, address: str) -> None:
    with Opened(browser, address, PHONE) as page:
        wanted = page.evaluate(REACHABLE)
        assert len(wanted) > 50
        page.evaluate("window.reached = new Set(); addEventListener('focusin', event => reached.add(event.target))")
        for _ in range(len(wanted) + 5):
            page.keyboard.press("Tab")
        assert page.evaluate(REACHABLE) == []


def test_points_that_overlap_are_told_apart(browser: Any, address: str) -> None:
    with Opened(browser, address, WIDE) as page:
        chart = page.locator("#front svg.chart")
        chart.evaluate("one => one.scrollIntoView()")
        first, second = page.locator("#front circle.member").nth(0), page.locator("#front circle.member").nth(1)
        for name in ("cx", "cy"):
            second.evaluate("(one, [name, value]) => one.setAttribute(name, value)", [name, first.get_attribute(name)])
        box = first.bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(*middle)
        told = page.locator("#tip").text_content()
        assert all(one.get_attribute("data-tip") in told for one in (first, second))
        chosen = []
        for _ in range(2):
            page.mouse.click(*middle)
            chosen += _shown(page)
        assert set(chosen) == {first.get_attribute("data-show"), second.get_attribute("data-show")}


def _saved(page: Any, section: str, name: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_label(f"save mine-{section}-{name}", exact=True).click()
    return Path(download.value.path()).read_bytes()


def test_plots_and_tables_are_saved(browser: Any, address: str, record: Record) -> None:
    with Opened(browser, address, WIDE, "dark") as page:
        drawn = ElementTree.fromstring(_saved(page, "front", "1.svg"))
        assert len(list(drawn.iter("{http://www.w3.org/2000/svg}circle"))) == len(record.evaluated)
        assert not [node for node in drawn.iter() if {"class", "style", "data-tip"} & set(node.attrib)]
        assert drawn[0].attrib["fill"] == "#fff"  # on a light page, whatever this one is
        words = next(drawn.iter("{http://www.w3.org/2000/svg}text")).attrib
        assert (words["fill"], words["font-size"]) == ("rgb(100, 107, 116)", "13px")
        with Image.open(io.BytesIO(_saved(page, "front", "1.png"))) as picture:
            assert picture.size == (3 * 668, 3 * 428)
        points = list(csv.DictReader(io.StringIO(_saved(page, "front", "1.csv").decode())))
        assert sorted(float(row["accuracy"]) for row in points) == sorted(
            one.candidate.score for one in record.evaluated
        )
        table = list(csv.DictReader(io.StringIO(_saved(page, "front", "2.csv").decode())))
        assert [float(row["accuracy"]) for row in table] == sorted((one.score for one in record.front), reverse=True)
        # Patterns travel with what they fill.
        (name,) = _shown(page)
        network = _saved(page, *f"{name}.svg".split("-")).decode()
        assert set(re.findall(r"url\(.?#([\w-]+)", network)) <= set(re.findall(r'id="(.*?)"', network))


def test_commands_and_networks_are_copied(browser: Any, address: str, record: Record) -> None:
    with Opened(browser, address, WIDE) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        (name,) = _shown(page)
        member = record.front[int(name.rpartition("-")[2]) - 1]
        copied = []
        for words in ("copy digest", "copy JSON"):
            button = page.locator(f"#{name}").get_by_role("button", name=words)
            button.click()
            page.locator(f"#{name}").get_by_role("button", name="copied").first.wait_for()
            button.wait_for()  # says again what it is for
            copied.append(page.evaluate("navigator.clipboard.readText()"))
        assert copied[0] == member.architecture.digest()
        assert Architecture.from_dict(json.loads(copied[1])) == member.architecture
        page.locator("#reproduce").get_by_role("button", name="copy").first.click()
        page.locator("#reproduce").get_by_role("button", name="copied").wait_for()
        assert "python retrain.py runs/mine --compare" in page.evaluate("navigator.clipboard.readText()")


def test_the_front_is_zoomed(browser: Any, address: str) -> None:
    with Opened(browser, address, WIDE) as page:
        chart = page.locator("#front svg.chart")
        ticks = chart.locator(".ticks")
        before = ticks.text_content()
        places = "[...document.querySelectorAll('#front .marks circle')].map(one => +one.getAttribute('cx'))"
        whole = page.evaluate(places)
        tools = page.locator("#front .figure").first
        tools.get_by_role("button", name="zoom in").click()
        nearer = page.evaluate(places)
        assert max(nearer) - min(nearer) == pytest.approx(2 * (max(whole) - min(whole)))
        assert ticks.text_content() != before
        tools.get_by_role("button", name="show the whole chart").click()
        assert page.evaluate(places) == pytest.approx(whole)
        assert ticks.text_content() == before
        # A rectangle drawn over it is what is shown then.
        chart.evaluate("one => one.scrollIntoView()")
        box = chart.bounding_box()
        page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 0.3 * box["height"])
        page.mouse.down()
        page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.6 * box["height"], steps=3)
        page.mouse.up()
        assert ticks.text_content() != before
        factor = (max(page.evaluate(places)) - min(page.evaluate(places))) / (max(whole) - min(whole))
        assert factor == pytest.approx((640 - 16 - 72) / (0.25 * 640), rel=0.05)


def test_lines_are_left_that_pass_a_stretch_of_an_axis(browser: Any, address: str) -> None:
    with Opened(browser, address, WIDE) as page:
        score = page.locator("#decisions .axis").last.locator(".reach")
        score.scroll_into_view_if_needed()
        box = score.bounding_box()
        page.mouse.move(box["x"] + 12, box["y"] + 1)
        page.mouse.down()
        page.mouse.move(box["x"] + 12, box["y"] + 0.5 * box["height"], steps=3)
        page.mouse.up()
        ways = page.locator("#decisions .way")
        left = page.locator("#decisions .way:not(.out)").count()
        assert 0 < left < ways.count()
        assert page.get_by_role("status").text_content() == f"{left} of {ways.count()} candidates"
        assert score.get_attribute("aria-valuetext") == "a stretch"
        page.mouse.click(box["x"] + 12, box["y"] + 0.9 * box["height"])
        assert page.locator("#decisions .way.out").count() == 0
        assert score.get_attribute("aria-valuetext") == "all"


def test_an_axis_is_filtered_from_the_keyboard(browser: Any, address: str) -> None:
    with Opened(browser, address, WIDE) as page:
        ways = page.locator("#decisions .way").count()
        axis = page.locator("#decisions .axis").first
        slider = axis.get_by_role("slider")
        marks = axis.locator("text.on").all_text_contents()
        assert slider.get_attribute("aria-valuetext") == "all"
        slider.focus()
        left = []
        for number in range(len(marks)):
            page.keyboard.press("ArrowUp")
            assert slider.get_attribute("aria-valuetext") == marks[number]
            assert slider.get_attribute("aria-valuenow") == str(number + 1)
            left.append(page.locator("#decisions .way:not(.out)").count())
        assert sum(left) == ways  # each line passes one option
        assert page.get_by_role("status").text_content() == f"{left[-1]} of {ways} candidates"
        for _ in marks:
            page.keyboard.press("Shift+ArrowDown")
        assert slider.get_attribute("aria-valuetext") == f"{marks[0]} to {marks[-1]}"
        assert page.locator("#decisions .way.out").count() == 0
        band, whole = (
            axis.locator(name).evaluate("one => [+one.getAttribute('y'), +one.getAttribute('height')]")
            for name in (".band", ".reach")
        )
        assert band == whole  # and no farther
        page.keyboard.press("ArrowUp")  # there is nothing beyond the last
        assert slider.get_attribute("aria-valuetext") == f"{marks[0]} to {marks[-1]}"
        page.keyboard.press("Escape")
        assert slider.get_attribute("aria-valuetext") == "all"
        assert axis.locator(".band").count() == 0


TARGETS = """[...document.querySelectorAll("a,button")].filter(one => one.checkVisibility())
  .map(one => [one.outerHTML, one.getBoundingClientRect()])
  .filter(([, box]) => box.width < 24 || box.height < 24).map(([words]) => words)"""


def test_a_phone_has_room_for_fingers_and_says_where_there_is_more(browser: Any, address: str) -> None:
    with Opened(browser, address, PHONE) as page:
        assert page.evaluate(TARGETS) == []
        hidden = page.locator(".scroll.right").first
        assert page.evaluate("one => one.scrollWidth > one.clientWidth", hidden.element_handle())
        hidden.evaluate("one => one.scrollTo(one.scrollWidth, 0)")
        # A locator's wait: `wait_for_function` evaluates a string again and again, which the page's own policy forbids.
        page.locator(".scroll.left:not(.right)").first.wait_for(state="attached")
        sizes = page.evaluate(
            """[...document.querySelectorAll("svg.chart text:not(.inside)")].filter(one => one.checkVisibility())
              .map(one => parseFloat(getComputedStyle(one).fontSize) * one.ownerSVGElement.getScreenCTM().a)"""
        )
        assert max(sizes) - min(sizes) < 1.1
        assert min(sizes) > 11.8
