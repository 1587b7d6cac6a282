"""Tiny sentence-transformers models with random weights, on disk, and what they compute, computed in another way."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

LETTERS = [*map(chr, range(33, 127)), *"äöüßа-якамень水火東京は日本の首都です。"]
SIZE, LIMIT = 32, 512
PROMPTS = {
    "plain": {},
    "e5": {"query": "query: ", "passage": "passage: "},
    # Only what stands before questions, as in bge: in the configuration the documents' prompt is there, and empty.
    "asking": {"query": "Represent this sentence for searching: ", "document": ""},
    "gemma": {
        "query": "task: search result | query: ",
        "document": "title: none | text: ",
        "Clustering": "task: clustering | query: ",
        "STS": "task: sentence similarity | query: ",
    },
}


class Models:
    """Makes each model once. `TEXTS` are of several lengths and languages."""

    TEXTS = (
        "The river is cold.",
        "Annual leave is thirty days; ask your manager before you book a holiday, and write it down.",
        "東京は日本の首都です。",
        "x",
        "Die Rechnung ist innerhalb von vierzehn Tagen zu bezahlen.",
    )
    PROMPTS = PROMPTS

    def __init__(self, root: Path) -> None:
        self._root = root
        self._bert = _bert(root / "bert", LIMIT)

    def folder(self, kind: str) -> Path:
        """The saved model of a kind."""
        folder = self._root / kind
        if not folder.exists():
            self._make(kind).save(str(folder))
        return folder

    def copy(self, kind: str, folder: Path) -> Path:
        """One to be spoilt."""
        return Path(shutil.copytree(self.folder(kind), folder / kind))

    def options(self, kind: str, **changes: object) -> dict[str, object]:
        """The block that describes it."""
        own: dict[str, object] = {
            "plain": {},
            "e5": {},
            "asking": {},
            "gemma": {"dimensions": 48, "matryoshka": [8, 16, 32]},
            "dot": {"normalized": False},
            "two": {"asymmetric": True},
            "static": {},
        }[kind]
        block = {"model": f"acme/{kind}", "path": str(self.folder(kind)), "revision": "r1", "dimensions": SIZE}
        return {**block, "prompts": PROMPTS.get(kind, {}), **own, **changes}

    def _make(self, kind: str):
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Dense, Normalize, Router, Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding

        def body(limit: int = LIMIT) -> list:
            return [Transformer(str(self._bert), max_seq_length=limit), Pooling(SIZE, "mean")]

        import torch

        torch.manual_seed(7)
        if kind == "static":
            from tokenizers import Tokenizer

            words = Tokenizer.from_file(str(self._bert / "tokenizer.json"))
            return SentenceTransformer(modules=[StaticEmbedding(words, embedding_dim=SIZE)], device="cpu")
        if kind == "two":
            questions, documents = body(96), [*body(), Dense(SIZE, SIZE)]
            return SentenceTransformer(modules=[Router.for_query_document(questions, documents)], device="cpu")
        modules = body()
        if kind == "gemma":
            modules += [Dense(SIZE, 48)]
        if kind in ("e5", "gemma"):
            modules += [Normalize()]
        similarity = "dot" if kind == "dot" else None
        prompts = PROMPTS.get(kind, {})
        return SentenceTransformer(modules=modules, prompts=prompts, similarity_fn_name=similarity, device="cpu")

    def reference(self, kind: str, texts, prompt: str = "", dimensions: int | None = None) -> np.ndarray:
        """What the model gives: transformers alone, one text at a time, and numpy. Shape (texts, dimensions)."""
        import torch
        from transformers import AutoModel, AutoTokenizer

        folder = self.folder(kind)
        tokenizer, bert = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
        rows = []
        for text in texts:
            with torch.no_grad():
                states = bert(**tokenizer(prompt + text, return_tensors="pt")).last_hidden_state[0].numpy()
            row = states.mean(axis=0)
            if kind == "gemma":
                from safetensors.numpy import load_file

                dense = load_file(folder / "2_Dense" / "model.safetensors")
                row = np.tanh(dense["linear.weight"] @ row + dense["linear.bias"])
            row = row[:dimensions]
            rows.append(row if kind == "dot" else row / np.linalg.norm(row))
        return np.stack(rows)


def _bert(folder: Path, limit: int) -> Path:
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    letters = list(dict.fromkeys(LETTERS))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{each}" for each in letters)]
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=SIZE,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=limit,
        initializer_range=0.2,
    )
    BertModel(config).eval().save_pretrained(folder)
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def kit(kit):
    """What tests of requests need, for these models: no task unless one is named."""

    class Small(kit):
        @classmethod
        def ask(cls, *groups, task=None, dimensions=SIZE, **more):
            return super().ask(*groups, task=task, dimensions=dimensions, **more)

    return Small


@pytest.fixture(scope="session")
def models(tmp_path_factory) -> Models:
    return Models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def opened(models):
    """An open embedder by its kind, shared: none may be closed or spoilt."""
    from nestvec_transformers.sentence_embedder import SentenceEmbedder
    from nestvec_transformers.sentence_options import SentenceOptions

    made = {}

    def get(kind: str) -> SentenceEmbedder:
        if kind not in made:
            made[kind] = SentenceEmbedder(SentenceOptions(**models.options(kind)))
        return made[kind]

    return get


@pytest.fixture
def fresh(models):
    """A new embedder, with changes to its options."""
    from nestvec_transformers.sentence_embedder import SentenceEmbedder
    from nestvec_transformers.sentence_options import SentenceOptions

    def get(kind: str, **changes: object) -> SentenceEmbedder:
        return SentenceEmbedder(SentenceOptions(**models.options(kind, **changes)))

    return get
