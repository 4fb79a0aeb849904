"""The page: one file that asks nobody, whose texts break nothing, and which works in a browser."""

import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from report.html.page import Chart, Picture, Queries, Section, Table, page

EVIL = '</script><script>alert("x")</script><b>&'
SOUND = "data:audio/ogg;base64,T2dnUw=="
DOT = "data:image/gif;base64,R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="
BARS = {
    "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
    "data": {"values": [{"row": "one", "mean": 3}, {"row": EVIL, "mean": 2}]},
    "mark": "bar",
    "encoding": {"x": {"field": "mean", "type": "quantitative"}, "y": {"field": "row", "type": "nominal"}},
}
PANELS = {
    "$schema": BARS["$schema"],
    "data": BARS["data"],
    "facet": {"row": {"field": "row", "type": "nominal"}},
    "spec": {"mark": "point", "width": 640, "encoding": {"x": {"field": "mean", "type": "quantitative"}}},
}
QUERIES = Queries(
    {"one": {"image_to_text": [1, 9], "text_to_image": [2]}, EVIL: {"image_to_text": [4, 2], "text_to_image": [1]}},
    {
        "image_to_text": [
            {"row": 0, "image": DOT, "partners": [{"text": "a dog"}]},
            {"row": 1, "image": DOT, "partners": [{"text": EVIL}]},
        ],
        "text_to_image": [{"row": 0, "text": "a dog", "partners": [{"image": DOT}, {"text": EVIL, "sound": SOUND}]}],
    },
)
SECTIONS = [
    Section(
        EVIL, [Table(["row", "recall", "told"], [["one", "9.5", ""], [EVIL, "10.25", "x"], ["gone", "", "killed"]])]
    ),
    Section("chart", [Chart(BARS), Chart(PANELS), Picture(DOT, EVIL)], EVIL),
    Section("queries", [QUERIES, EVIL]),
]


def library() -> str:
    import vl_convert

    return str(vl_convert.javascript_bundle())


def test_texts_are_texts_wherever_they_stand() -> None:
    text = page(EVIL, SECTIONS, "")
    assert text.count("<script") == text.count("</script>") == 4  # charts, queries, the library, the page's own
    assert 'alert("x")' not in re.sub(r"<script type=\"application/json\".*?</script>", "", text)


def test_it_asks_nobody() -> None:
    text = page("title", SECTIONS, "")
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)
    assert "default-src 'none'" in text


@pytest.fixture(scope="module")
def browser() -> Any:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(params=[(1280, "light"), (390, "light"), (1280, "dark"), (390, "dark")], ids=str)
def opened(request: pytest.FixtureRequest, browser: Any, tmp_path: Path) -> Any:
    """The page in a window of this width and scheme; nothing was reported there and nothing was asked for."""
    file = tmp_path / "report.html"
    file.write_text(page("title", SECTIONS, library()), encoding="utf-8")
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    tab = context.new_page()
    told: list[str] = []
    tab.on("console", lambda message: told.append(message.text))
    tab.on("pageerror", lambda error: told.append(str(error)))
    tab.on("request", lambda asked: told.append(asked.url) if not asked.url.startswith(("file:", "data:")) else None)
    tab.goto(file.as_uri())
    tab.wait_for_function("[...document.querySelectorAll('.chart')].every(chart => chart.querySelector('svg'))")
    yield tab
    assert told == []
    context.close()


def test_nothing_is_wider_than_the_window(opened: Any) -> None:
    assert opened.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    assert opened.evaluate(
        "[...document.querySelectorAll('.chart')].every(c => c.querySelector('svg').clientWidth <= c.clientWidth)"
    )
    boxes = opened.evaluate("[...document.querySelectorAll('section')].map(s => s.getBoundingClientRect().toJSON())")
    for one, other in pairwise(boxes):
        assert one["bottom"] <= other["top"]
    assert opened.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_it_can_be_read_in_both_schemes(opened: Any) -> None:
    def luminance(colour: str) -> float:
        parts = [int(each) / 255 for each in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    paper = luminance(opened.evaluate("getComputedStyle(document.body).backgroundColor"))
    for what in ("body", "p", "td", "a", ".chart svg text"):
        key = "fill" if "svg" in what else "color"
        ink = luminance(opened.evaluate(f"getComputedStyle(document.querySelector('{what}')).{key}"))
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) > 4.5, what


def column(tab: Any, number: int) -> list[str]:
    texts: list[str] = tab.evaluate(
        f"[...document.querySelectorAll('tbody tr')].filter(r => !r.hidden).map(r => r.cells[{number}].textContent)"
    )
    return texts


def test_sorting_and_filtering(opened: Any) -> None:
    opened.click("th:nth-child(2) button")
    assert column(opened, 1) == ["10.25", "9.5", ""]  # by value, what is empty last
    opened.click("th:nth-child(2) button")
    assert column(opened, 1) == ["9.5", "10.25", ""]
    opened.fill("input[type=search]", "kill gone")
    assert column(opened, 0) == ["gone"]
    opened.fill("input[type=search]", "")
    assert len(column(opened, 0)) == 3


def test_a_picture_or_a_sound_stands_in_the_page_once() -> None:
    text = page("title", [SECTIONS[2], SECTIONS[2]], "")
    assert text.count(DOT) == text.count(SOUND) == 1


def test_queries_of_two_rows(opened: Any) -> None:
    cards = opened.locator(".item")
    assert cards.count() == 2
    assert "rank 1 against 4" in cards.nth(0).text_content()
    assert "a dog" in cards.nth(0).text_content()
    assert EVIL in cards.nth(1).text_content()
    opened.select_option("select[aria-label=direction]", "text_to_image")
    assert cards.count() == 1
    assert "one is better: 0 of 1 shown queries" in opened.locator(".queries").text_content()
    player = cards.locator("audio")
    assert player.get_attribute("src") == SOUND
    assert (player.get_attribute("preload"), player.get_attribute("aria-label")) == ("none", EVIL)
    inside, around = player.bounding_box(), cards.first.bounding_box()
    assert around["x"] <= inside["x"]
    assert inside["x"] + inside["width"] <= around["x"] + around["width"]
    opened.select_option("select[aria-label='the other row']", "one")
    assert cards.count() == 0  # both are as good
