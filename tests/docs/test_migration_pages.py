"""The pages on migrating and shrinking: their commands and snippets run, in order, and print what the pages show."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

import nestvec
from nestvec._cli import main
from nestvec.config import parse_config
from nestvec.runtime import Runtime
from nestvec_testing.emulators.jina import KEY, JinaEmulator

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: Exits of the commands that are meant not to end with 0.
EXITS = {"nestvec migrate handbook --plan": {0, 3}, "nestvec plan": {0, 3}}


def blocks(page: str, *languages: str) -> list[tuple[str, str]]:
    found = BLOCK.findall((ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8"))
    return [(language, text) for language, text in found if language in languages]


class Time:
    """Passes when somebody waits for it."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


class Page:
    """Runs the blocks of a page in a folder of their own."""

    def __init__(self, folder: Path, time: Time) -> None:
        self.config, self.time = folder / "nestvec.toml", time
        self.runtime = Runtime(clock=time, wall=time, pause=time.pass_)

    def command(self, line: str) -> str:
        done = CliRunner().invoke(main, shlex.split(line)[1:], obj=self.runtime, prog_name="nestvec")
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code in EXITS.get(line, {0}), done.output
        return done.output

    def transcript(self, text: str) -> None:
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            line, shown = part.split("\n", 1)
            printed = self.command(line)
            assert as_pattern(shown).fullmatch(printed), f"$ {line}\n{printed}\nis not what the page shows:\n{shown}"


def as_pattern(shown: str) -> re.Pattern[str]:
    """A line of three dots stands for any lines, three dots in a line for anything in it."""
    lines = [r"(?:.*\n)*" if line == "…" else re.escape(line).replace("…", ".*") + "\n" for line in shown.splitlines()]
    return re.compile("".join(lines))


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    pytest.importorskip("nestvec_qdrant")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JINA_API_KEY", KEY)
    return Page(tmp_path, Time())


@pytest.fixture
def api() -> Iterator[str]:
    with JinaEmulator() as emulator:
        yield emulator.base_url


def write(folder: Path, count: int, text: Callable[[int], str]) -> None:
    rows = [json.dumps({"id": f"p{i}", "text": text(i)}) for i in range(count)]
    (folder / "pages.jsonl").write_text("\n".join(rows), encoding="utf-8")


def pages_of_a_handbook(number: int) -> str:
    return " ".join(
        f"Sentence {j} of page {number} tells how topic {number * 7 % 31} goes with case {j * 3 % 11}."
        for j in range(1 + number % 40)
    )


def test_migrating_goes_as_its_page_shows(page: Page, api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API is emulated: the page's configuration is used with its address and key."""
    (first, *_) = [text for _, text in blocks("migrate.md", "toml")]
    reached = first.replace('use = "jina"', f'use = "jina"\nbase_url = "{api}"\napi_key = {{ env = "JINA_API_KEY" }}')
    before = reached.split("[collections.handbook]")[0] + '[collections.handbook]\nembedder = "v2"\n'
    page.config.write_text(before, encoding="utf-8")
    write(page.config.parent, 120, pages_of_a_handbook)
    page.command("nestvec apply")
    page.command("nestvec ingest handbook pages.jsonl")
    page.config.write_text(reached, encoding="utf-8")
    monkeypatch.setattr(nestvec, "connect", partial(nestvec.connect, runtime=page.runtime))
    for language, text in blocks("migrate.md", "console", "python"):
        if "Half a minute" in text or text.startswith("$ nestvec cleanup"):
            page.time.now += 40
        if language == "console":
            page.transcript(text)
        else:
            exec(compile(text, "migrate.md", "exec"), {})


def test_shrinking_goes_as_its_page_shows(page: Page) -> None:
    pytest.importorskip("nestvec_e5")
    ((_, config),) = blocks("shrink.md", "toml")
    page.config.write_text(config, encoding="utf-8")
    write(page.config.parent, 40, lambda number: f"Chapter {number} of the handbook.")
    page.command("nestvec apply")
    page.command("nestvec ingest handbook pages.jsonl")
    for _, text in blocks("shrink.md", "console"):
        page.transcript(text)


@pytest.mark.parametrize(
    ("name", "text"), [(name, text) for name in ("migrate.md", "shrink.md") for _, text in blocks(name, "toml")]
)
def test_their_configurations_are_valid(name: str, text: str) -> None:
    config = parse_config(tomllib.loads(text))
    assert "handbook" in config.collections
    assert ("handbook" in config.previous) is (name == "migrate.md")


def test_nothing_on_the_pages_stays_untested() -> None:
    for name in ("migrate.md", "shrink.md"):
        every = BLOCK.findall((ROOT / "docs" / "how-to" / name).read_text(encoding="utf-8"))
        assert {language for language, _ in every} <= {"toml", "console", "python"}
