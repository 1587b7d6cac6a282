"""What right routing is worth: the same questions, embedded as questions and, wrongly, as passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nestvec._client.sync import Nestvec
    from nestvec.types import Hit


@dataclass(frozen=True, slots=True)
class ComparedQuestion:
    """A question, its language, and the id of the document that answers it."""

    language: str
    text: str
    expected: str


QUESTIONS = (
    ComparedQuestion("English", "How do I pick a random token that is safe in a URL?", "secrets.token_urlsafe"),
    ComparedQuestion("German", "Wie entpacke ich ein Archiv?", "shutil.unpack_archive"),
    ComparedQuestion("French", "Quelle version de Python est utilisée ?", "platform.python_version"),
    ComparedQuestion("French", "Comment calculer la médiane d'une liste de nombres ?", "statistics.median"),
    ComparedQuestion("Spanish", "¿Cómo convierto un objeto de Python a una cadena JSON?", "json.dumps"),
    ComparedQuestion("Spanish", "¿Cómo elimino un directorio con todo su contenido?", "shutil.rmtree"),
    ComparedQuestion("Portuguese", "Como saber em qual sistema operacional estou?", "platform.system"),
    ComparedQuestion("Italian", "Come calcolo la deviazione standard di un campione?", "statistics.stdev"),
    ComparedQuestion("Chinese", "如何删除整个目录树?", "shutil.rmtree"),
    ComparedQuestion("Chinese", "如何找出最大的几个元素?", "heapq.nlargest"),
    ComparedQuestion("Japanese", "データの中央値を求めるには?", "statistics.median"),
    ComparedQuestion("Korean", "가장 작은 요소 몇 개를 찾으려면?", "heapq.nsmallest"),
    ComparedQuestion("Russian", "Как сравнить два файла?", "filecmp.cmp"),
    ComparedQuestion("Russian", "Как экранировать специальные символы HTML?", "html.escape"),
    ComparedQuestion("Arabic", "ما اسم نظام التشغيل؟", "platform.system"),
    ComparedQuestion("Hindi", "मैं दो फ़ाइलों की तुलना कैसे करूँ?", "filecmp.cmp"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """The best hit, and at which rank the expected document was found (None: not at all)."""

    document_id: str | None
    score: float | None
    text: str | None
    rank: int | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"document_id": self.document_id, "score": self.score, "text": self.text, "rank": self.rank}


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One question, asked in both ways."""

    question: ComparedQuestion
    right: Answer
    wrong: Answer


@dataclass(frozen=True, slots=True)
class Summary:
    """How often the expected document came first, and the mean of 1/rank over all questions."""

    first: int
    questions: int
    reciprocal: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return {"rank_1": self.first, "questions": self.questions, "mean_reciprocal_rank": self.reciprocal}


def compare(nv: Nestvec, name: str, questions: Sequence[ComparedQuestion]) -> list[ComparisonRow]:
    """Ask a collection each question twice: embedded with its query task, and with its index task.

    Both are live searches among all documents of the collection.
    """
    target = nv[name]
    space = target.spec.space
    depth = max(target.count(chunks=True), 1)
    texts = [question.text for question in questions]
    as_passages = nv.embed(texts, task=space.index_task, dimensions=space.dimensions, embedder=target.spec.embedder)
    right = target.search_many(texts, limit=depth)
    wrong = [target.search_vector(vector, limit=depth) for vector in as_passages]
    return [
        ComparisonRow(question, _answer(hits, question), _answer(others, question))
        for question, hits, others in zip(questions, right, wrong, strict=True)
    ]


def _answer(hits: Sequence[Hit], question: ComparedQuestion) -> Answer:
    ids = list(dict.fromkeys(hit.document_id for hit in hits))
    rank = ids.index(question.expected) + 1 if question.expected in ids else None
    best = hits[0] if hits else None
    return Answer(best.document_id, best.score, best.text, rank) if best else Answer(None, None, None, None)


def summary(answers: Sequence[Answer]) -> Summary:
    """Sum up one way of asking."""
    reciprocal = sum(1 / answer.rank for answer in answers if answer.rank)
    return Summary(sum(answer.rank == 1 for answer in answers), len(answers), reciprocal / max(len(answers), 1))
