"""The page in a browser: Chromium, without a window. Its pictures are kept in build/screenshots.

What a page must look like is in looks.js: readable, nothing on top of anything else, nothing cut off.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.wait import WebDriverWait

from .reports import REPORTS, drawn

PICTURES = Path(__file__).parents[3] / "build" / "screenshots"
LOOKS = (Path(__file__).parent / "looks.js").read_text(encoding="utf-8")
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars"
)
#: What remains of a sheet of A4 between the margins of the style sheet, at 96 pixels an inch.
PAPER = 688
WIDTHS = (360, 800, 1200, 1600)
PICTURED = ("full", "plain")


def programs(environment: Mapping[str, str]) -> tuple[str, str]:
    """The browser and its driver; skips, or fails, without."""
    path = environment.get("PATH", "")
    browser = next(
        (found for name in ("chromium", "chromium-browser") if (found := shutil.which(name, path=path))), None
    )
    driver = shutil.which("chromedriver", path=path)
    if browser is None or driver is None:
        told = "no Chromium with its driver: on Debian, install chromium and chromium-driver"
        if environment.get("CI") == "true":
            pytest.fail(f"{told}; CI must not go without")
        pytest.skip(told)
    return browser, driver


class Browser:
    """A browser that opens pages from files and remembers what they ask for and complain about."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        browser, driver = programs(environment)
        options = webdriver.ChromeOptions()
        options.binary_location = browser
        for flag in [*FLAGS.split(), f"--user-data-dir={folder / 'profile'}"]:
            options.add_argument(flag)
        # The usual first page would ask its maker for news.
        blank = {"session.restore_on_startup": 4, "session.startup_urls": ["about:blank"]}
        options.add_experimental_option("prefs", blank)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(driver))
        self.folder = folder

    def open(self, name: str, page: str) -> str:
        """Open a page as a file; returns its address."""
        file = self.folder / f"{name}.html"
        file.write_text(page, encoding="utf-8")
        self.driver.get(file.as_uri())
        return file.as_uri()

    def command(self, name: str, **arguments: Any) -> Any:
        """A command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def look(self, width: int, scheme: str, medium: str = "screen") -> list[str]:
        """What is wrong at this width of the window."""
        preference = {"name": "prefers-color-scheme", "value": scheme}
        self.command("Emulation.setEmulatedMedia", media=medium, features=[preference])
        for height in (800, None):  # first to know how high the page is, then as high as that
            height = height or self.command("Page.getLayoutMetrics")["cssContentSize"]["height"]
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            self.command("Emulation.setDeviceMetricsOverride", **size)
        return [f"{width} px, {scheme}, {medium}: {said}" for said in self.driver.execute_script(LOOKS, medium)]

    def picture(self, name: str) -> None:
        """Keep a picture of the whole page."""
        PICTURES.mkdir(parents=True, exist_ok=True)
        size = self.command("Page.getLayoutMetrics")["cssContentSize"]
        taken = self.command("Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "scale": 1})
        (PICTURES / f"dimensions-{name}.png").write_bytes(base64.b64decode(taken["data"]))

    def wait_for(self, happens: Callable[[], bool]) -> None:
        """What the browser tells comes a little later than it happens."""
        WebDriverWait(self.driver, 10, poll_frequency=0.05).until(lambda _: happens())

    def requests(self) -> list[str]:
        """Addresses that pages asked for since the last time; the browser's own first page is none of them."""
        events = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        sent = [each["params"] for each in events if each["method"] == "Network.requestWillBeSent"]
        return [each["request"]["url"] for each in sent if not each["documentURL"].startswith("chrome")]

    def complaints(self) -> list[str]:
        """What the console says since the last time, up to a mark: it comes a little later than what it is about."""
        self.driver.execute_script("console.error('the mark')")
        found: list[str] = []
        self.wait_for(lambda: self._hear(found))
        return [said for said in found if "the mark" not in said]

    def _hear(self, found: list[str]) -> bool:
        found += [entry["message"] for entry in self.driver.get_log("browser")]
        return any("the mark" in said for said in found)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("no_proxy", "NO_PROXY"):
            patch.setenv(name, "*")  # the driver is on this machine
        opened = Browser(tmp_path_factory.mktemp("pages"), os.environ)
        yield opened
        opened.driver.quit()


@pytest.mark.parametrize("name", REPORTS)
def test_looks_well_on_screens_and_loads_nothing(browser: Browser, name: str) -> None:
    browser.requests()
    browser.complaints()
    address = browser.open(name, drawn(name))
    problems = []
    for width in WIDTHS if name in PICTURED else WIDTHS[::2]:
        for scheme in ("light", "dark"):
            problems += browser.look(width, scheme)
            if name in PICTURED:
                browser.picture(f"{name}-{width}-{scheme}")
    assert problems == []
    assert browser.requests() == [address]
    assert browser.complaints() == []


@pytest.mark.parametrize("name", REPORTS)
def test_looks_well_on_paper(browser: Browser, name: str) -> None:
    browser.open(name, drawn(name))
    assert browser.look(PAPER, "dark", "print") == []
    style = "return getComputedStyle(document.documentElement)"
    assert browser.driver.execute_script(f"{style}.backgroundColor") == "rgb(255, 255, 255)"
    kept_whole = "return [...document.querySelectorAll('figure, tr')].map(each => getComputedStyle(each).breakInside)"
    assert set(browser.driver.execute_script(kept_whole)) == {"avoid"}
    if name in PICTURED:
        browser.picture(f"{name}-paper")
        printed = browser.command("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        (PICTURES / f"dimensions-{name}.pdf").write_bytes(base64.b64decode(printed["data"]))


def test_is_read_aloud_in_order(browser: Browser) -> None:
    browser.open("aloud", drawn("full"))
    browser.look(1200, "light")
    tree = browser.command("Accessibility.getFullAXTree")["nodes"]
    read = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node.get("ignored")]
    headings = [name for role, name in read if role == "heading"]
    assert headings[0] == "How many dimensions does handbook need?"
    images = [name for role, name in read if role in ("image", "img")]
    assert "Share of recall@10 kept, by dimensions" in images
    assert len(images) == len(set(images)) == 8  # each chart once, though it is drawn twice
    tables = [name for role, name in read if role == "table"]
    assert tables == [
        "Funnels beside the plain search on the same backend",
        "Quality and search time",
        "recall@10 with small storage",
        "Storage",
    ]
    assert {name for role, name in read if role == "rowheader"} >= {"128 recommended", "64 → 256"}


FAULTS = {
    "a contrast of": ("</style>", ".reason { color: #999 !important }</style>"),
    "px high": ("</style>", "svg text { font-size: 9px !important }</style>"),
    "the page is": (
        "</style>",
        ".reason { white-space: nowrap; max-width: none !important; min-width: 2000px }</style>",
    ),
    "leaves the page": ("</style>", "h1 { text-indent: -99px }</style>"),
    "lies on": ("</style>", "svg text { font-size: 30px !important }</style>"),
    "shows 2 drawings": ("</style>", "svg { display: block !important }</style>"),
    "shows 0 drawings": ("</style>", "svg { display: none !important }</style>"),
    "a drawing of": ("</style>", "svg { max-width: 100px !important }</style>"),
    "by keyboard": ('tabindex="0"', ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_look_is_noticed(browser: Browser, fault: str) -> None:
    """The checks above, on pages that are broken in one way each."""
    page = drawn("full")
    assert FAULTS[fault][0] in page
    browser.open("broken", page.replace(*FAULTS[fault]))
    assert any(fault in problem for problem in browser.look(360, "light"))


def test_a_request_and_a_complaint_are_noticed(browser: Browser) -> None:
    page = drawn("full")
    asks = page.replace("</main>", '<img src="asked-for.png"></main>')
    browser.complaints()
    browser.open("asks", asks)
    assert any("violates" in said for said in browser.complaints())
    browser.requests()
    browser.open("asks", asks.replace("default-src 'none'; ", ""))
    browser.wait_for(lambda: any(address.endswith("asked-for.png") for address in browser.requests()))


def test_without_a_browser_only_ci_fails() -> None:
    with pytest.raises(pytest.skip.Exception, match="install chromium"):
        programs({"PATH": "/nowhere"})
    with pytest.raises(pytest.fail.Exception, match="CI must not go without"):
        programs({"PATH": "/nowhere", "CI": "true"})
