"""Whether a model is what the options say of it, and its files are whole."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.errors import ConfigError
from nestvec_transformers.sentence_tasks import Call
from nestvec_transformers.weights import how_to_get

if TYPE_CHECKING:
    from nestvec.types import FloatArray
    from nestvec_transformers.sentence_model import SentenceModel
    from nestvec_transformers.sentence_options import SentenceOptions

#: Words in pairs of one form: whoever tells no pair apart reads nothing.
_WORDS = ("river", "stone", "река", "камень", "水", "火", "7", "3")
#: How far a length may be from 1, and one computation from another (of its largest number), also in 16 bits.
_UNIT, _ALIKE = 1e-2, 2e-3
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def check(model: SentenceModel, options: SentenceOptions) -> None:
    """Raises `ConfigError` naming every option that does not fit, with the value to write."""
    vectors = model.embed(_WORDS, Call(role="document"))
    _check_files(model, vectors, options)
    problems = [
        *_sizes(model, vectors, options),
        *_prompts(model, options),
        *_symmetry(model, vectors, options),
        *_lengths(model, vectors, options),
    ]
    if problems:
        raise ConfigError(f"the options do not describe {options.model} as it is in {model.folder}:", problems)


def _check_files(model: SentenceModel, vectors: FloatArray, options: SentenceOptions) -> None:
    hint = how_to_get(options, options.model)
    if _alike(vectors[::2], vectors[1::2]):
        raise ConfigError(
            f"the model in {model.folder} gives different words one vector: the files of its tokenizer are missing, or "
            f"another model's; {hint}"
        )
    missing = _random(model)
    if missing and not _alike(_disturbed(model, missing), vectors):
        named = ", ".join(sorted(missing)[:3]) + (" …" if len(missing) > 3 else "")
        raise ConfigError(
            f"the weights in {model.folder} are not complete: {named} would be random numbers ({len(missing)} in all); "
            f"{hint}"
        )


def _random(model: SentenceModel) -> dict[str, Any]:
    """Parameters that no file had. transformers fills them with random numbers, and only logs it."""
    from transformers import PreTrainedModel

    whole = model.inner
    made = {
        name: parameter
        for prefix, part in whole.named_modules()
        if isinstance(part, PreTrainedModel)
        for name, parameter in part.named_parameters(prefix)
    }
    missing = {name: each for name, each in made.items() if not getattr(each, "_is_hf_initialized", False)}
    # None is marked: this is another version of transformers, and nothing is known.
    return missing if len(missing) < len(made) else {}


def _disturbed(model: SentenceModel, parameters: Mapping[str, Any]) -> FloatArray:
    """The vectors with other numbers in these: what is not used, such as a pooler, changes nothing."""
    import torch

    for parameter in parameters.values():
        parameter.data.normal_(generator=torch.Generator(parameter.device).manual_seed(0))
    return model.embed(_WORDS, Call(role="document"))


def _sizes(model: SentenceModel, vectors: FloatArray, options: SentenceOptions) -> Iterator[str]:
    full = vectors.shape[1]
    if full != options.dimensions:
        yield f"dimensions: its vectors have {full}; write dimensions = {full}"
    trained = getattr(model.inner.config, "matryoshka_dimensions", None)
    shortest = min(options.matryoshka, default=options.dimensions)
    if trained and shortest < min(trained):
        yield f"matryoshka: it was trained for no length below {min(trained)}; write matryoshka = {sorted(trained)}"
    limit = model.limit
    if limit is not None and options.max_tokens is not None and options.max_tokens > limit:
        yield f"max_tokens: it takes {limit:,}; write max_tokens = {limit}, or leave it out"


def _prompts(model: SentenceModel, options: SentenceOptions) -> Iterator[str]:
    own = {name: text for name, text in model.inner.prompts.items() if text}
    declared = {name: text for name, text in options.prompts.items() if text}
    if any(declared.get(name) != text for name, text in own.items()):
        yield (
            f"prompts: the model has its own; write prompts = {_toml({**declared, **own})} (another text for a purpose "
            f"can be declared beside them, under another name)"
        )
    default = model.inner.default_prompt_name
    if own.get(default) and default != options.default_prompt:
        yield f"default_prompt: it puts {own[default]!r} before every text; write default_prompt = {_toml(default)}"


def _symmetry(model: SentenceModel, vectors: FloatArray, options: SentenceOptions) -> Iterator[str]:
    asymmetric = not _alike(model.embed(_WORDS, Call(role="query")), vectors)
    if asymmetric != options.asymmetric:
        what = "embeds questions in another way than passages" if asymmetric else "embeds both alike but for prompts"
        yield f"asymmetric: it {what}; write asymmetric = {_toml(asymmetric)}"


def _lengths(model: SentenceModel, vectors: FloatArray, options: SentenceOptions) -> Iterator[str]:
    similarity = model.inner.similarity_fn_name
    unit = bool(np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=_UNIT))
    if similarity == "manhattan" and not unit:
        yield "model: it is compared by Manhattan distance, which no backend has; use another model"
    elif not options.normalized and (unit or similarity == "cosine"):
        yield "normalized: its vectors are compared by their angle alone; write normalized = true, or leave it out"
    elif options.normalized and not unit and similarity != "cosine":
        yield (
            f"normalized: it is compared by {similarity}, with vectors of any length; write normalized = false, and "
            f'metric = "{similarity}" in the collections'
        )


def _alike(one: FloatArray, other: FloatArray) -> bool:
    return bool(np.abs(one - other).max() <= _ALIKE * np.abs(one).max())


def _toml(value: Any) -> str:
    """A value as it is written in TOML: strings are escaped as in JSON."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_key(name)} = {_toml(each)}" for name, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
