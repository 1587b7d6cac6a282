from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nestvec._chunking import Chunking, Splitter, join_chunks
from nestvec.errors import Unsupported

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=400).filter(str.strip)


@given(TEXTS, st.integers(1, 60), st.sampled_from(["text", "markdown"]))
def test_chunks_tile_the_text(text: str, size: int, form: str) -> None:
    spans = Splitter(Chunking(size=size, format=form)).split("d", text)  # type: ignore[arg-type]
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    assert all(left[1] == right[0] for left, right in itertools.pairwise(spans))
    assert all(text[start:end].strip() for start, end in spans)
    assert all(len(text[start:end].strip()) <= size for start, end in spans)


@given(TEXTS, st.integers(2, 60), st.data())
def test_the_text_is_rebuilt_from_overlapping_chunks(text: str, size: int, data: st.DataObject) -> None:
    overlap = data.draw(st.integers(0, size - 1))
    spans = Splitter(Chunking(size=size, overlap=overlap, format="text")).split("d", text)
    assert join_chunks([((start, end), text[start:end]) for start, end in spans]) == text


def test_markdown_is_known_by_its_name_and_split_at_headings() -> None:
    text = "# One\n\nSome words here.\n\n# Two\n\nOther words there."
    markdown = Splitter(Chunking(size=30)).split("notes.md", text)
    chunks = [text[start:end].strip() for start, end in markdown]
    assert chunks == ["# One\n\nSome words here.", "# Two\n\nOther words there."]
    assert Splitter(Chunking(size=30, format="markdown")).split("notes", text) == markdown


def test_tokens_are_counted_by_the_embedder() -> None:
    splitter = Splitter(Chunking(unit="tokens", size=3), lambda text: len(text.split()))
    text = "one two three four five six seven"
    assert [len(text[start:end].split()) for start, end in splitter.split("d", text)] == [3, 3, 1]


def test_tokens_without_a_counter_are_refused_with_a_way_out() -> None:
    with pytest.raises(Unsupported, match=r"tokenizer\.json"):
        Splitter(Chunking(unit="tokens"))


def test_a_tokenizer_file_that_is_not_there_is_named(tmp_path) -> None:
    splitter = Splitter(Chunking(unit="tokens", size=3, tokenizer="nope.json"), folder=tmp_path)
    with pytest.raises(Unsupported, match=r"nope\.json"):
        splitter.split("d", "some words")


def test_five_megabytes_are_split() -> None:
    text = "A sentence of some words. " * 200_000
    spans = Splitter(Chunking()).split("d", text)
    assert len(text) > 5_000_000
    assert spans[-1][1] == len(text)
    assert max(end - start for start, end in spans) <= 1000


def test_five_megabytes_without_any_break_are_split() -> None:
    text = "x" * 5_000_000
    assert len(Splitter(Chunking()).split("d", text)) == 5000


def test_the_layout_names_every_setting() -> None:
    base = Chunking()
    others = [
        Chunking(size=999),
        Chunking(overlap=1),
        Chunking(unit="tokens"),
        Chunking(format="text"),
        Chunking(tokenizer="t"),
    ]
    layouts = {item.layout(store_text=True) for item in (base, *others)} | {base.layout(store_text=False)}
    assert len(layouts) == 7
