"""A stand-in for jina-embeddings-v3 that takes no download: tiny, with random weights, and real in everything else.

    folder = make_tiny_model(tmp_path / "model")
    connect({"embedders": {"model": {"use": "transformers", "path": str(folder), "revision": "tiny-0"}}, …})

The folder is laid out as the checkpoint is: a `JinaEmbeddingsV3Model` of 1,024 dimensions with one thin layer, a PEFT
LoRA adapter in a folder for each task, and a fast tokenizer of XLM-R's kind. It is made by the libraries that load it.
"""

from __future__ import annotations

import string
from collections import Counter
from pathlib import Path
from typing import Any, Final

from nestvec_transformers.libraries import imported, quiet
from nestvec_transformers.model import ADAPTERS

HIDDEN: Final = 1024
_LAYERS: Final = 1
_MARKS: Final = ("<s>", "<pad>", "</s>", "<unk>")
_TARGETS: Final = ["word_embeddings", "q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"]
#: What the tokenizer's vocabulary is made of: other characters are unknown to it.
_SENTENCES: Final = (
    "The river carries cold water from the mountains to the sea, and boats follow it.",
    "Annual leave is thirty days; ask your manager before you book a holiday.",
    "Represent the document for retrieval: Represent the query for retrieving evidence documents:",
    "Everyone has the right to rest and leisure, including reasonable limitation of working hours.",
    "Die Rechnung ist innerhalb von vierzehn Tagen zu bezahlen; Jeder hat Anspruch auf Erholung.",
    "Toute personne a droit au repos et aux loisirs; la rivière porte l'eau froide à la mer.",
    "Toda persona tiene derecho al descanso; el río lleva agua fría de las montañas al mar.",
    "Каждый человек имеет право на отдых и досуг. Κάθε άτομο έχει δικαίωμα στην ανάπαυση.",
    "東京は日本の首都です。 北京是中国的首都。 大阪と京都は古い町です。",
    "def add(a, b): return a + b # numbers 0123456789",
)


def make_tiny_model(folder: Path, *, seed: int = 0) -> Path:
    """Write the model into `folder` and return it. Other seeds give other weights; one seed always gives the same."""
    torch, config, model, lora = imported(
        "torch", "transformers:JinaEmbeddingsV3Config", "transformers:JinaEmbeddingsV3Model", "peft:LoraConfig"
    )
    with quiet(), torch.random.fork_rng(devices=[]):
        tokenizer = _tokenizer()
        tokenizer.save_pretrained(folder)
        torch.manual_seed(seed)
        settings = config(
            vocab_size=len(tokenizer), hidden_size=HIDDEN, num_hidden_layers=_LAYERS, intermediate_size=64
        )
        base = model(settings)
        base.save_pretrained(folder)
        for name in ADAPTERS.values():
            base.add_adapter(lora(r=4, lora_alpha=4, target_modules=_TARGETS), adapter_name=name)
            base.set_adapter(name)
            _randomize(base, name)
            base.save_pretrained(folder / name)
    return folder


def _randomize(model: Any, adapter: str) -> None:
    """A new adapter changes nothing, because one of its two matrices is zero."""
    (initialize,) = imported("torch.nn.init")
    for name, weight in model.named_parameters():
        if f".{adapter}" in name:
            initialize.normal_(weight, std=0.05)


def _tokenizer() -> Any:
    """Unigram pieces with the marks, in the places, of XLM-R: whole words, what words have in common, and letters."""
    (kind,) = imported("transformers:XLMRobertaTokenizer")
    words = [f"▁{word}" for sentence in _SENTENCES for word in sentence.split()]
    parts = Counter(word[at : at + size] for word in words for size in (2, 3, 4) for at in range(len(word) - size + 1))
    letters = {"▁", *string.ascii_letters, *string.digits, *string.punctuation, *"".join(words)}
    scores = dict.fromkeys(letters, -10.0)
    scores |= {part: -8.0 - 1.0 / count for part, count in parts.items() if count > 2}
    scores |= dict.fromkeys(words, -7.0)
    pieces = [*((mark, 0.0) for mark in _MARKS), *sorted(scores.items()), ("<mask>", 0.0)]
    return kind(vocab=pieces)
