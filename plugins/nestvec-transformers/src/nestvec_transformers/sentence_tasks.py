"""Which tasks a sentence-transformers model has, by its prompts; and how a text is embedded for each of them.

Such a model names its prompts freely. sentence-transformers itself knows "query" (`encode_query`), and "document",
"passage" or "corpus" (`encode_document`); they are nestvec's `retrieval.query` and `retrieval.passage`. Every other
prompt is a task of its own name. Empty prompts are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from nestvec.capabilities import TaskPair
from nestvec.encoding.tasks import PASSAGE, QUERY
from nestvec.types import Purpose

#: The names under which models have the prompts of retrieval; the first that is not empty counts.
_QUERIES = (QUERY, "query")
_PASSAGES = (PASSAGE, "document", "passage", "corpus")
#: What models call their prompts for the other purposes: their own names, those of MTEB, and Jina's. In lower case.
_SYMMETRIC: Mapping[Purpose, Sequence[str]] = {
    Purpose.MATCHING: ("text-matching", "sts"),
    Purpose.CLUSTERING: ("clustering", "separation"),
    Purpose.CLASSIFICATION: ("classification",),
}

Role = Literal["query", "document"]
_ROLES: Mapping[str, Role] = {QUERY: "query", PASSAGE: "document"}


@dataclass(frozen=True, slots=True)
class Call:
    """How a text is embedded: the prompt before it, and whether as a question, as a document, or as neither."""

    prompt: str = ""
    role: Role | None = None


@dataclass(frozen=True, slots=True)
class Tasks:
    """The tasks of a model with these prompts (by the model's own names).

    `default` names the prompt that stands before a text without a task. An `asymmetric` model embeds questions in
    another way than documents, whatever its prompts.
    """

    prompts: Mapping[str, str]
    default: str | None = None
    asymmetric: bool = False

    @property
    def texts(self) -> dict[str, str]:
        """The prompt of each task that has one."""
        known = {name: text for name, text in self.prompts.items() if text}
        roles = {task: _first(known, names) for task, names in ((QUERY, _QUERIES), (PASSAGE, _PASSAGES))}
        named = {task: known[name] for task, name in roles.items() if name is not None}
        return named | {name: text for name, text in known.items() if name not in roles.values()}

    @property
    def names(self) -> tuple[str, ...]:
        """Every task, those of retrieval first."""
        roles = (QUERY, PASSAGE) if self._apart else ()
        return tuple(dict.fromkeys((*roles, *self.texts)))

    @property
    def purposes(self) -> dict[Purpose, TaskPair]:
        """The tasks of each purpose.

        A symmetric purpose without a prompt of its own takes the question's on both sides where documents have one, too
        (as the makers of E5 say), and the documents' otherwise: such models have instructions for questions only.
        """
        own = {name.lower(): name for name in self.names}
        passage = PASSAGE if PASSAGE in self.names else self._task_of(self.default)
        both = QUERY if self._apart and PASSAGE in self.texts else passage
        pairs = {Purpose.RETRIEVAL: TaskPair(passage, QUERY if self._apart else passage)}
        for purpose, names in _SYMMETRIC.items():
            task = next((own[name] for name in names if name in own), both)
            pairs[purpose] = TaskPair(task, task)
        return pairs

    def call(self, task: str | None) -> Call:
        """How a text is embedded for a task."""
        if task is None:
            return Call(self.prompts.get(self.default or "", ""))
        return Call(self.texts.get(task, ""), _ROLES.get(task))

    @property
    def _apart(self) -> bool:
        """Whether questions are told from documents."""
        return self.asymmetric or self.texts.get(QUERY) != self.texts.get(PASSAGE)

    def _task_of(self, prompt: str | None) -> str | None:
        text = self.prompts.get(prompt or "", "")
        return next((task for task, known in self.texts.items() if text and known == text), None)


def _first(prompts: Mapping[str, str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in prompts), None)
