"""The page of a review in a real browser: opened from a file, by keyboard, narrow and wide, with hostile names, and with many differences.

It needs playwright and a Chromium; without them these tests fail and say so, because nothing else looks at the page.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from playwright.sync_api import sync_playwright

from fwtrans.report.review.html import review_html
from fwtrans.report.review.model import Category, Entry, Review, RuleText, Step, StructureItem, Witness

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
_CATEGORIES = tuple(Category)
_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
_AT_ONCE = 200
"""How many differences the page builds at once (page/script.js)."""
_OVERFLOW = """() => [...document.querySelectorAll('body *')].filter(
  (one) => one.checkVisibility() && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1
).map((one) => one.tagName + '.' + one.className)"""
_OVERLAP = """() => {
  const boxes = [...document.querySelectorAll('h1, h2, p, summary, label, .counts li, .rule, .trace li, .path li, figcaption, button')]
    .filter((one) => one.checkVisibility()).map((one) => [one, one.getBoundingClientRect()]);
  const found = [];
  boxes.forEach(([one, a], at) => boxes.slice(at + 1).forEach(([other, b]) => {
    if (one.contains(other) || other.contains(one)) return;
    const x = Math.min(a.right, b.right) - Math.max(a.left, b.left);
    const y = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
    if (x > 1 && y > 1) found.push(one.textContent.slice(0, 40) + ' | ' + other.textContent.slice(0, 40));
  }));
  return found;
}"""


class Opened(NamedTuple):
    """A page with what went wrong on it, and what it asked the network for."""

    page: Page
    errors: list[str]
    requests: list[str]


def step(text: str) -> Step:
    return Step("FORWARD", text, held=True, location="old:3")


def entry(number: int, text: str = "") -> Entry:
    witness = Witness(
        "ip forward", f"tcp 192.0.2.10:40000 -> 198.51.100.20:{number}", {"dport": str(number)}, "drop by rule 1 of tap",
        "accept by rule 2 of tap", (step("-A FORWARD -j A"), step("-j DROP")), (step("-A FORWARD -j A"), step("-j ACCEPT")),
        confirmed=True,
    )  # fmt: skip
    return Entry(
        _CATEGORIES[number % len(_CATEGORIES)], ("to guest", "from guest")[number % 2], (str(100 + number % 50),),
        (text or f"tcp {number}",), f"rule added: {text or number}", (), (RuleText(text or "rule", "new:7", "tap"),),
        ("the blacklist",), "1 port", ("IPv4",), (witness,), also=_ALSO,
    )  # fmt: skip


_ALSO = (
    Entry(Category.LOGGED, "to guest", ("103",), ("a line",), "x", (), (), (), "", ("IPv4",), ()),
)  # fmt: skip


def review(entries: tuple[Entry, ...]) -> Review:
    structure = (StructureItem("set", "changed", "ip t s", ("10.0.0.0/8",), ("10.0.0.0/7",), ("new:1",)),)
    return Review(
        entries, structure, by_rule=True, exact=True, equal=False, undecided=(), assumptions=("x",), intended=()
    )


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next((found for name in _CHROMIUMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.fail("the page is tested in a browser: there is no chromium on this machine")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@contextmanager
def opened(browser: Browser, place: Path, found: Review, **options: Any) -> Iterator[Opened]:
    file = place / "review.html"
    file.write_text(review_html(found, f"old {HOSTILE}", "new"), encoding="utf-8")
    context = browser.new_context(**options)
    page = context.new_page()
    errors: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    yield Opened(page, errors, requests)
    context.close()
    assert errors == []
    assert requests == [file.as_uri()]


SOME = review(tuple(entry(number) for number in range(40)))


def test_a_difference_opens_to_its_witness_and_both_ways(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, SOME) as (page, _, _):
        assert page.locator("#differences > details").count() == 40
        page.locator("#differences > details > summary").nth(3).click()
        body = page.locator("#differences > details .body")
        body.wait_for()  # it is made when the browser has told that the row is open, some time after the click
        assert body.count() == 1
        text = body.inner_text()
        assert "tcp 192.0.2.10:40000 -> 198.51.100.20:3" in text
        assert "accept by rule 2 of tap" in text
        assert page.locator(".trace .differs").all_inner_texts()[0].endswith("-j DROP")
        lanes = page.locator(".path .lane")
        assert [lane.locator("li").all_inner_texts() for lane in lanes.all()] == [
            ["Before", "-j DROP", "drop"],
            ["Now", "-j ACCEPT", "accept"],
        ]
        assert page.locator(".path .trunk li").all_inner_texts() == ["ip forward", "FORWARD"]
        assert page.locator(".path .trunk .differs").all_inner_texts() == ["FORWARD"]
        assert page.locator(".path .lane .differs").count() == 2
        assert "also logged differently" in text


def test_filters_by_guest_direction_severity_and_words(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, SOME) as (page, _, _):
        shown = page.locator("#differences > details:visible")
        page.select_option("#guest", "107")
        assert shown.count() == 1
        page.select_option("#guest", "")
        page.select_option("#way", "to guest")
        assert shown.count() == 20
        page.select_option("#severity", "high")
        assert shown.count() == sum(number % 2 == 0 and number % len(_CATEGORIES) == 0 for number in range(40))
        page.select_option("#severity", "")
        page.fill("#words", "tcp 38")
        assert page.locator("#shown").inner_text() == "1 of 40 fit the filter"


def test_everything_is_reached_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, SOME) as (page, _, _):
        reached = []
        for _ in range(6):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        assert reached == ["guest", "way", "severity", "words", "SUMMARY", "SUMMARY"]
        page.keyboard.press("Enter")
        assert page.locator("#differences > details[open]").count() == 1
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none"


@pytest.mark.parametrize("width", [320, 768, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_narrow_and_wide_light_and_dark(browser: Browser, tmp_path: Path, width: int, scheme: str) -> None:
    long = entry(0, "tcp " + "x" * 300)
    with opened(
        browser,
        tmp_path,
        review((long, *SOME.entries[1:6])),
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
    ) as (page, _, _):
        page.locator("#differences > details > summary").first.click()
        page.locator("#differences > details .body").wait_for()
        assert page.evaluate(_OVERFLOW) == []
        assert page.evaluate(_OVERLAP) == []
        ground, ink = page.evaluate(
            "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
        )
        assert (_brightness(ground) > _brightness(ink)) == (scheme == "light")


def _brightness(color: str) -> int:
    return sum(int(part) for part in color.removeprefix("rgb(").removesuffix(")").split(","))


def test_hostile_names_stay_text(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, review((entry(0, HOSTILE),))) as (page, _, _):
        page.locator("#differences > details > summary").click()
        page.locator("#differences > details .body").wait_for()
        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == 0
        assert HOSTILE in page.locator("#differences summary").inner_text()
        assert HOSTILE in page.locator("header").inner_text()


def test_printed_without_its_form(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, SOME) as (page, _, _):
        page.emulate_media(media="print")
        assert not page.locator("form").is_visible()
        assert page.locator("#differences > details").first.is_visible()


def test_of_five_thousand_differences_only_some_are_built(browser: Browser, tmp_path: Path) -> None:
    """The work of opening the page does not grow with the review; scrolling, the button and the filters reach them all."""
    many = review(tuple(entry(number) for number in range(5000)))
    rows, bodies = "#differences > details", "#differences .body"
    with opened(browser, tmp_path, many) as (page, _, _):
        assert page.locator("#shown").inner_text() == "5000 of 5000"
        assert page.locator(rows).count() == _AT_ONCE
        assert page.locator(bodies).count() == 0
        assert page.evaluate("document.querySelectorAll('*').length") < 10 * _AT_ONCE
        page.locator("#next").scroll_into_view_if_needed()
        page.locator(rows).nth(_AT_ONCE).wait_for(state="attached")
        page.fill("#words", "tcp 4999")
        assert page.locator(rows).count() == 1
        page.fill("#words", "")
        page.select_option("#guest", "107")
        assert page.locator("#shown").inner_text() == "100 of 5000 fit the filter"
        assert page.locator(rows).count() == 100
        page.select_option("#guest", "")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator(rows).count() == 5000
        assert not page.locator("#next").is_visible()


def test_more_is_shown_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    many = review(tuple(entry(number) for number in range(5000)))
    with opened(browser, tmp_path, many) as (page, _, _):
        page.evaluate("document.getElementById('next').focus({ preventScroll: true })")
        page.keyboard.press("Enter")
        page.locator("#differences > details").nth(_AT_ONCE).wait_for(state="attached")
        assert page.evaluate("document.activeElement.tagName") == "SUMMARY"
