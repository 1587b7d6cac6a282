"""Splitting documents into chunks.

The splitting itself is `semantic-text-splitter`'s: the largest semantic units (paragraphs, sentences, words;
headings and blocks in Markdown) that fit. Without overlap the chunks tile the text: joined, they are the text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from nestvec._files import check_file
from nestvec.errors import Unsupported
from nestvec.types import Span

#: Raise when stored records are laid out in another way; part of every document's layout.
LAYOUT_VERSION = 1
#: The layout of documents that came split or with vectors; how, and with which, is in their `document_hash`.
GIVEN = "g1"
#: The layout of documents without a text.
EMPTY = "e1"
_MARKDOWN = (".md", ".markdown")
_PIECE = 50_000
_BREAKS = ("\n\n", "\n", " ")


@dataclass(frozen=True, slots=True)
class Chunking:
    """How documents are split.

    `size` and `overlap` are in `unit`s. `format` "auto" takes documents whose id ends in `.md` or
    `.markdown` for Markdown. `tokenizer` is the path of a Hugging Face `tokenizer.json` (a relative one counts
    from the configuration file's folder); without one, tokens are counted by the embedder, where it can.
    """

    unit: Literal["characters", "tokens"] = "characters"
    size: int = 1000
    overlap: int = 0
    format: Literal["auto", "text", "markdown"] = "auto"
    tokenizer: str | None = None

    def layout(self, *, store_text: bool) -> str:
        """A short name of everything that decides how a document's records look, apart from its space."""
        canonical = json.dumps([LAYOUT_VERSION, asdict(self), store_text], sort_keys=True)
        return f"l{LAYOUT_VERSION}-{hashlib.sha256(canonical.encode()).hexdigest()[:12]}"


class Splitter:
    """Splits texts as a `Chunking` says. Safe to share between threads."""

    def __init__(
        self,
        chunking: Chunking,
        count_tokens: Callable[[str], int] | None = None,
        folder: Path | None = None,
    ) -> None:
        if chunking.unit == "tokens" and chunking.tokenizer is None and count_tokens is None:
            raise Unsupported(
                "chunking by tokens needs a tokenizer: set chunking.tokenizer to the path of the model's "
                'tokenizer.json, or use chunking.unit = "characters"'
            )
        self._chunking = chunking
        self._count = count_tokens
        self._folder = folder or Path()
        self._made: dict[bool, Any] = {}

    def split(self, document_id: str, text: str) -> tuple[Span, ...]:
        """The chunks' character ranges, in order; every chunk has something other than white space."""
        if len(text) <= self._chunking.size and self._chunking.unit == "characters":
            return ((0, len(text)),)
        splitter = self._splitter(self._is_markdown(document_id))
        spans = [
            (first + start, first + start + len(chunk))
            for first, last in _pieces(text)
            for start, chunk in splitter.chunk_indices(text[first:last])
        ]
        return _absorb_blank(spans, text)

    def _is_markdown(self, document_id: str) -> bool:
        if self._chunking.format == "auto":
            return document_id.lower().endswith(_MARKDOWN)
        return self._chunking.format == "markdown"

    def _splitter(self, markdown: bool) -> Any:
        if markdown not in self._made:
            from semantic_text_splitter import MarkdownSplitter, TextSplitter

            self._made[markdown] = self._build(MarkdownSplitter if markdown else TextSplitter)
        return self._made[markdown]

    def _build(self, kind: Any) -> Any:
        size, overlap = self._chunking.size, self._chunking.overlap
        if self._chunking.unit == "characters":
            return kind(size, overlap=overlap, trim=False)
        if self._chunking.tokenizer is None:
            return kind.from_callback(self._count, size, overlap=overlap, trim=False)
        path = str(self._folder / self._chunking.tokenizer)
        try:
            check_file(Path(path))
            return kind.from_huggingface_tokenizer_file(path, size, overlap=overlap, trim=False)
        except Exception as error:  # the splitter raises bare Exception
            raise Unsupported(
                f"the tokenizer file {path!r} cannot be used: {error}; give the path of a Hugging Face tokenizer.json"
            ) from error


def _pieces(text: str) -> Iterator[Span]:
    """Cut a very long text at paragraphs, lines or words: the splitter's time is quadratic without any break.

    Chunks do not overlap across these cuts.
    """
    start = 0
    while len(text) - start > _PIECE:
        limit = start + _PIECE
        cuts = (text.rfind(mark, start + _PIECE // 2, limit) + len(mark) for mark in _BREAKS)
        end = next((cut for cut in cuts if cut > start + _PIECE // 2), limit)
        yield start, end
        start = end
    yield start, len(text)


def _absorb_blank(spans: list[Span], text: str) -> tuple[Span, ...]:
    """Let a chunk of white space belong to its neighbour, so that nothing blank is embedded and nothing lost."""
    kept: list[Span] = []
    lead: int | None = None
    for start, end in spans:
        if not text[start:end].isspace():
            kept.append((start if lead is None else lead, end))
            lead = None
        elif kept:
            kept[-1] = (kept[-1][0], end)
        elif lead is None:
            lead = start
    return tuple(kept)


def joined(texts: Sequence[str]) -> tuple[str, tuple[Span, ...]]:
    """Texts as one, with blank lines between them; and where each of them is in it."""
    spans, start = [], 0
    for text in texts:
        spans.append((start, start + len(text)))
        start += len(text) + len(_BREAKS[0])
    return _BREAKS[0].join(texts), tuple(spans)


def join_chunks(pieces: list[tuple[Span, str]]) -> str:
    """Rebuild a document's text from its chunks' spans and texts, whatever their overlap.

    There are gaps only between chunks that came so; of what was there, a blank line is left.
    """
    text: list[str] = []
    done = 0
    for (start, end), chunk in sorted(pieces):
        if end > done:
            if start > done and text and chunk:
                text.append("\n" * min(start - done, 2))
            text.append(chunk[max(0, done - start) :])
            done = end
    return "".join(text)
