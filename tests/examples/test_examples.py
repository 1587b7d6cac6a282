"""The examples run: offline, without a key, from any folder, and show what their page promises."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from nestvec.config import load_config
from nestvec.embedders.jina.options import BASE_URL, KEY

FOLDER = Path(__file__).parents[2] / "examples"
NAMES = sorted(path.parent.name for path in FOLDER.glob("*/run.py"))
#: The pair of tasks that each collection stands for.
TASKS = {
    "lightsabers": ("retrieval.passage", "retrieval.query"),
    "characters": ("separation", "separation"),
    "reviews": ("classification", "classification"),
    "quotes": ("text-matching", "text-matching"),
    "plain": ("retrieval.passage", "retrieval.query"),
    "late": ("retrieval.passage", "retrieval.query"),
    "newswire": ("text-matching", "text-matching"),
    "suggestions": ("separation", "separation"),
    "tickets": ("classification", "classification"),
    "help": ("retrieval.passage", "retrieval.query"),
}


def run(name: str, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Without a key, and with a dead proxy between it and every https address."""
    dead = dict.fromkeys(("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:9")
    direct = dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")
    environment = {**os.environ, **dead, **direct, "PYTHONIOENCODING": "utf-8"}
    environment.pop("JINA_API_KEY", None)
    command = [sys.executable, "-B", str(FOLDER / name / "run.py"), *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, encoding="utf-8", timeout=60, check=False
    )


def rows(name: str, file: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (FOLDER / name / file).read_text("utf-8").splitlines()]


def shown(name: str, folder: Path, pattern: str) -> tuple[float, ...]:
    """What an example prints: its stand-in by name, its headline as numbers. It leaves nothing behind."""
    done = run(name, folder)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert list(folder.iterdir()) == []
    first, *_, last = done.stdout.strip().split("\n")
    assert re.match(r"vectors: emulator.* - a stand-in; with --real: jina-embeddings-v", first)
    headline = re.search(pattern, " ".join(done.stdout.split()))
    assert headline, last
    return tuple(float(number) for number in headline.groups())


def test_lightsabers(tmp_path):
    first, questions = shown("lightsabers", tmp_path, r"(\d+) of (\d+) questions found their passage first")
    assert questions == 12
    assert first >= 10


def test_characters(tmp_path):
    pattern = r"similarity ([\d.]+) within and ([\d.]+) between .* (\d+) of 16 characters"
    within, between, alike = shown("characters", tmp_path, pattern)
    assert within - between > 0.02
    assert alike >= 14


def test_reviews(tmp_path):
    right, reviews = shown("reviews", tmp_path, r"(\d+) of (\d+) reviews classified right")
    assert reviews == 10
    assert right >= 9


def test_quotes(tmp_path):
    found, right = shown("quotes", tmp_path, r"(\d+) repeated pairs found among 12 quotes, (\d+) of them right")
    assert found == right
    assert right >= 4


def test_restaurant_chats(tmp_path):
    pattern = r"first for (\d+) of 6 questions with plain chunking, for (\d+) with late"
    assert shown("restaurant_chats", tmp_path, pattern) == (3, 6)


def test_migration(tmp_path):
    pattern = (
        r"SpaceMismatch: collection 'help' .* CollectionConflict: collection 'help' .* with v2\. .* Migrated: (\d+) "
        r".* SpaceMismatch: collection 'help' .* late_chunking: stored False, wanted True .* (\d) of 3 mix-ups were "
        r"refused\. The same handle answered (\d) of 4 questions with v3, and after going back (\d) of 4 with v2\."
    )
    assert shown("migration", tmp_path, pattern) == (6, 3, 4, 4)


def test_newswire(tmp_path):
    pattern = r"(\d+) stories .* (\d+) news: (\d+) pairs found, (\d+) of them right, of (\d+) that there are"
    stories, news, found, right, planted = shown("newswire", tmp_path, pattern)
    told = Counter(row["story"] for row in rows("newswire", "news.jsonl"))
    assert (news, stories) == (told.total(), sum(count > 1 for count in told.values()))
    assert found == right == planted == sum(count * (count - 1) // 2 for count in told.values()) > 15


def test_suggestions(tmp_path):
    pattern = r"(\d+) clusters of (\d+) texts on (\d+) topics; agreement with the topics ([\d.]+) .* ([\d.]+) on the"
    clusters, texts, topics, agreement, plain = shown("suggestions", tmp_path, pattern)
    assert (texts, topics) == (100, 5)
    assert clusters == topics
    assert agreement > 0.7
    assert plain < agreement - 0.3


def test_tickets(tmp_path):
    pattern = (
        r"Accuracy ([\d.]+) beside ([\d.]+) .* (\d+) new messages (\d+) were labelled, (\d+) of them right; "
        r"(\d+) went to a person, among them (\d+) of the (\d+) that belong to no desk"
    )
    accuracy, guess, new, labelled, right, unsure, caught, nobodys = shown("tickets", tmp_path, pattern)
    assert guess < 0.3
    assert accuracy > 0.85
    assert labelled == right >= 12
    assert labelled + unsure == new == 17
    assert caught == nobodys == 3


@pytest.mark.parametrize(("name", "file"), [("suggestions", "suggestions.jsonl"), ("tickets", "labelled.jsonl")])
def test_no_text_is_there_twice_and_languages_are_mixed(name, file):
    found = rows(name, file)
    assert len({row["text"] for row in found}) == len({row["id"] for row in found}) == len(found) >= 60
    truth = "topic" if name == "suggestions" else "label"
    for each in {row[truth] for row in found}:
        assert len({row["lang"] for row in found if row[truth] == each}) == 5


@pytest.mark.parametrize("name", ["newswire", "suggestions", "tickets"])
def test_what_is_missing_is_one_message(name, tmp_path):
    (tmp_path / "sklearn.py").write_text("raise ModuleNotFoundError('no module named sklearn', name='sklearn')")
    script = FOLDER / name / "run.py"
    program = f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path({str(script)!r})"
    done = subprocess.run([sys.executable, "-B", "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "scikit-learn is missing: pip install scikit-learn\n")


def test_the_real_api_needs_a_key_and_is_never_replaced_by_the_stand_in(tmp_path):
    done = run("restaurant_chats", tmp_path, "--real")
    assert done.returncode == 1
    assert "JINA_API_KEY is not set" in done.stderr
    assert "stand-in" not in done.stdout


def test_no_question_about_lightsabers_is_in_the_language_of_a_passage():
    languages = [
        {json.loads(line)["lang"] for line in (FOLDER / "lightsabers" / name).read_text("utf-8").splitlines()}
        for name in ("passages.jsonl", "questions.jsonl")
    ]
    assert len(languages[0]) == 6
    assert len(languages[1]) == 12
    assert not languages[0] & languages[1]


def test_no_line_but_the_first_names_its_restaurant():
    for file in (FOLDER / "restaurant_chats").glob("*.txt"):
        first, *rest = file.read_text("utf-8").lower().splitlines()
        assert file.stem in first
        assert file.stem not in " ".join(rest)
        assert all(50 < len(line) <= 100 for line in (first, *rest))  # so that each is a chunk of its own


@pytest.mark.parametrize("name", NAMES)
def test_the_configuration_is_that_of_the_real_api(name):
    config = load_config(FOLDER / name / "nestvec.toml")
    for embedder in config.embedders.values():
        assert (embedder.options.base_url, embedder.options.key) == (BASE_URL, KEY)
    for collection, spec in config.collections.items():
        assert (spec.space.index_task, spec.space.query_task) == TASKS[collection]


def test_the_page_and_the_tests_know_every_example():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert re.findall(r"`examples/(\w+)/run\.py` \|", page) == [
        "lightsabers", "characters", "reviews", "quotes", "restaurant_chats", "migration",
        "newswire", "suggestions", "tickets",
    ]  # fmt: skip
    assert all(f"test_{name}" in globals() for name in NAMES)
    assert len(NAMES) == 9
