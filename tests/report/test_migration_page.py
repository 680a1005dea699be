"""The page of a migration in a real browser: opened from a file, filtered, by keyboard, narrow, dark and printed, with hostile text."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

from fwtrans.optimizer.size import Size
from fwtrans.report.migration import Became, Migration, PathCost, Placed, Row
from fwtrans.report.migration_page import migration_html
from fwtrans.source import SourceFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
_CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
_OVERFLOW = """() => [...document.querySelectorAll('body *')].filter(
  (one) => one.checkVisibility() && one.getBoundingClientRect().right > document.documentElement.clientWidth + 1
).map((one) => one.tagName + '.' + one.className)"""
_FATES = tuple(Became)


def account(number: int, text: str = "-A FORWARD -p gre -j ACCEPT") -> Migration:
    source = SourceFile(f"dump {HOSTILE}", "\n".join(f"{text} {at}" for at in range(number)))
    rows = tuple(
        Row(source.origin(at + 1), _FATES[at % len(_FATES)], (Placed("ip fwtrans", HOSTILE, (at,), 2, ("map",)),), HOSTILE, ("dump:1",))
        for at in range(number)
    )  # fmt: skip
    size = Size(number, 2, 3, 4, 5)
    return Migration(rows, size, size, (), (), (PathCost("ip through the host", 1251, 5),), translated=True)


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
def opened(browser: Browser, place: Path, found: Migration, **options: Any) -> Iterator[Page]:
    file = place / "migration.html"
    file.write_text(migration_html(found, f"/etc/pve {HOSTILE}"), encoding="utf-8")
    context = browser.new_context(**options)
    page = context.new_page()
    errors: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: errors.append(message.text) if message.type in {"error", "warning"} else None)
    page.on("request", lambda request: requests.append(request.url))
    page.goto(file.as_uri())
    yield page
    assert page.evaluate("window.hacked") is None
    context.close()
    assert errors == []
    assert requests == [file.as_uri()]


def test_rows_are_made_when_they_are_come_to(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, account(20_000)) as page:
        rows = page.locator("#rules > details")
        assert rows.count() == 200
        page.click("#more")
        assert rows.count() == 400
        page.select_option("#became", "merged")
        expected = sum(_FATES[at % len(_FATES)] is Became.MERGED for at in range(20_000))
        assert page.locator("#shown").inner_text() == f"200 of {expected} that fit are shown, of 20000 rules"
        page.fill("#words", "accept 19999")
        page.select_option("#became", "")
        assert rows.count() == 1
        assert page.locator("#more").is_hidden()


def test_a_rule_opens_to_its_place_and_reason(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, account(5)) as page:
        page.locator("#rules summary").nth(2).click()
        body = page.locator("#rules .body")
        body.wait_for()  # it is made when the browser has told that the row is open, some time after the click
        assert body.count() == 1
        text = body.inner_text()
        assert f"now in ip fwtrans {HOSTILE}, line 2, with 2 others, by map" in text
        assert "(dump:1)" in text
        assert page.locator("tbody").last.inner_text().split() == ["ip", "through", "the", "host", "1251", "5"]


def test_everything_is_reached_by_keyboard(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, account(300)) as page:
        reached = []
        for _ in range(6):
            page.keyboard.press("Tab")
            reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        assert reached == ["SUMMARY", "became", "file", "words", "SUMMARY", "SUMMARY"]
        page.keyboard.press("Enter")
        assert page.locator("#rules > details[open]").count() == 1
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_leaves_the_page(browser: Browser, tmp_path: Path, width: int, scheme: Any) -> None:
    found = account(20, "-A FORWARD -m comment --comment " + "x" * 300)
    with opened(browser, tmp_path, found, viewport={"width": width, "height": 800}, color_scheme=scheme) as page:
        page.locator("#rules summary").nth(1).click()
        page.locator("#rules .body").wait_for()
        assert page.evaluate(_OVERFLOW) == []
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(13, 17, 23)" if scheme == "dark" else "rgb(255, 255, 255)")


def test_print_has_every_rule_and_no_form(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, tmp_path, account(500)) as page:
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert page.locator("#rules > details").count() == 500
        assert page.locator("form").is_hidden()
