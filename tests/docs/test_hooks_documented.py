"""Every hook has a section on its page, and a test that names it; so has every event."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from nestvec import hookspecs
from nestvec.contract import POWERS, Adapter, Event

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "reference" / "hooks.md").read_text(encoding="utf-8")
HOOKS = {name: value for name, value in vars(hookspecs).items() if hasattr(value, "nestvec_spec")}


def section(name: str) -> str:
    found = re.search(rf"^## `{name}`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/reference/hooks.md has no section `## `{name}``"
    return found.group(1)


def test_there_are_hooks() -> None:
    assert {"nestvec_backend", "nestvec_embedder", "nestvec_event"} <= HOOKS.keys()


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_has_a_section_with_its_signature(name: str) -> None:
    assert f"def {name}{inspect.signature(HOOKS[name])}: ...".replace("'", "") in section(name)


def test_the_page_has_no_section_of_a_hook_that_is_gone() -> None:
    assert set(re.findall(r"^## `(nestvec_\w+)`", PAGE, re.MULTILINE)) == HOOKS.keys()


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_is_named_by_a_test(name: str) -> None:
    tests = [path for path in ROOT.glob("tests/*.py") if name in path.read_text(encoding="utf-8")]
    assert tests, f"no test names the hook {name}"


def test_the_events_of_the_page_are_those_of_the_code() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", section("nestvec_event"), re.MULTILINE))
    promised = set(re.findall(r"`(\w+_\w+)`", inspect.getdoc(Event) or ""))
    raised = {
        name
        for path in ROOT.glob("src/nestvec/**/*.py")
        if "testing" not in path.parts
        for name in re.findall(r'\bEvent\(\s*"(\w+)"', path.read_text(encoding="utf-8"))
    }
    assert told == promised == raised


@pytest.mark.parametrize("kind", [Adapter, *POWERS], ids=lambda kind: kind.__name__)
def test_what_a_backend_answers_has_a_section(kind: type) -> None:
    assert kind is Adapter or re.search(rf"^### `{kind.__name__}`$", PAGE, re.MULTILINE)
    for name, member in inspect.getmembers(kind, inspect.isfunction):
        if getattr(member, "__isabstractmethod__", False):
            assert len(re.findall(rf"^###+ `{name}`$", PAGE, re.MULTILINE)) == 1, name
