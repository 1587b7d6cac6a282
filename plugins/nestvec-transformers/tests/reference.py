"""The same vectors by the shortest way: transformers and PEFT alone, one text at a time, nothing of nestvec's."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from peft import PeftModel
from transformers import AutoModel, AutoTokenizer

PROMPTS = {
    "retrieval.passage": "Represent the document for retrieval: ",
    "retrieval.query": "Represent the query for retrieving evidence documents: ",
}


@cache
def _model(folder, task):
    """A base of its own for each task, wrapped by PEFT itself."""
    base = AutoModel.from_pretrained(folder)
    if task is None:
        return base.eval()
    return PeftModel.from_pretrained(base, folder / task.replace(".", "_").replace("-", "_")).eval()


@cache
def _tokenizer(folder):
    return AutoTokenizer.from_pretrained(folder)


def read(folder, task, ids):
    """Token vectors of one sequence, shape (tokens, 1024)."""
    ids = torch.tensor([ids])
    with torch.no_grad():
        return _model(folder, task)(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0].numpy()


def finish(vectors, dimensions):
    """Slice, then length 1."""
    cut = np.stack(vectors)[:, :dimensions]
    return cut / np.linalg.norm(cut, axis=1, keepdims=True)


def plain(folder, task, texts, dimensions=1024):
    """The mean over all tokens."""
    prompt = PROMPTS.get(task, "")
    means = [read(folder, task, _tokenizer(folder)(prompt + text)["input_ids"]).mean(axis=0) for text in texts]
    return finish(means, dimensions)


def pieces(folder, task, group):
    """All tokens of a document in the order of the text: (id, chunk it counts for, or None for one in a gap)."""
    prompt = PROMPTS.get(task, "")
    begin, end = group.spans[0][0], group.spans[-1][1]
    encoded = _tokenizer(folder)(prompt + group.text[begin:end], return_offsets_mapping=True)
    found = []
    for token, (_, stop) in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
        place = stop - len(prompt) + begin
        owner = [n for n, (first, last) in enumerate(group.spans) if first < place <= last]
        found.append((token, owner[0] if owner else None, stop > len(prompt)))
    head = next(n for n, piece in enumerate(found) if piece[2])
    return (
        [token for token, _, _ in found[:head]],
        [(token, owner) for token, owner, _ in found[head:-1]],
        [found[-1][0]],
    )


def late(folder, task, group, dimensions=1024):
    """One pass over the whole document; each token counts for its chunk, marks and prompt for the outer ones."""
    head, text, tail = pieces(folder, task, group)
    last = len(group.spans) - 1
    owners = [0] * len(head) + [owner for _, owner in text] + [last] * len(tail)
    hidden = read(folder, task, [*head, *(token for token, _ in text), *tail])
    chunks = []
    for chunk in range(len(group.spans)):
        own = [row for row, owner in zip(hidden, owners, strict=True) if owner == chunk]
        chunks.append(np.mean(own, axis=0))
    return finish(chunks, dimensions)
