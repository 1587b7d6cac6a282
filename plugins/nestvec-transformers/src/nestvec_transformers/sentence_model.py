"""A loaded sentence-transformers model: its tokens and its raw vectors."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nestvec.errors import ConfigError, EmbedderError, NestvecError, PluginBroken
from nestvec_transformers.batching import is_out_of_memory
from nestvec_transformers.device import choose_device, choose_dtype
from nestvec_transformers.libraries import imported
from nestvec_transformers.sentence_tasks import Call
from nestvec_transformers.weights import first_line, how_to_get, locate

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

    from nestvec.types import FloatArray
    from nestvec_transformers.sentence_options import SentenceOptions

#: What is fetched: modules may have weights of their own, pickled in older models.
_FILES = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*/pytorch_model.bin")
_CODE = ("*.py",)
_OTHERS = ("onnx/*", "openvino/*", "*.onnx", "*.pt")
_KIND = "SentenceTransformer"
_INSTALL = "pip install 'nestvec-transformers[sentence-transformers]'"
#: Tokens as they are, without what sentence-transformers does in silence: cutting texts off.
_UNCUT = {"text": {"truncation": False, "padding": False, "verbose": False}, "common": {"return_tensors": None}}
_CUT = {"text": {"padding": False}, "common": {"return_tensors": None}}


class SentenceModel:
    """Not safe for threads: tokenizers keep the settings of the call that they are in."""

    def __init__(self, model: SentenceTransformer, folder: Path) -> None:
        self.inner, self.folder = model, folder
        #: What its configuration says of a default length; vectors are cut once, and not here.
        model.truncate_dim = None
        self._tokens = _tokens_of(model)
        self._safe = _safe(model)

    def __repr__(self) -> str:
        return f"<SentenceModel {self.folder}>"

    @property
    def limit(self) -> int | None:
        """Most tokens of a text, or None where there is no limit. With several input modules, the largest."""
        return _finite(self.inner.max_seq_length)

    def lengths(self, texts: Sequence[str], call: Call) -> list[int]:
        """Tokens of each text, with its prompt and marks, none of them cut off."""
        return self._tokens.count(texts, call, cut=False)

    @property
    def counts_tokens(self) -> bool:
        """Whether `lengths` are tokens; otherwise they are characters."""
        return not isinstance(self._tokens, _Characters)

    def limit_of(self, text: str, tokens: int, call: Call) -> int | None:
        """How many of a text's tokens the model would take, if not all of them."""
        if tokens <= self._safe:
            return None
        kept = self._tokens.count([text], call, cut=True)[0]
        return kept if kept < tokens else None

    def embed(self, texts: Sequence[str], call: Call) -> FloatArray:
        """The model's own full vectors: float32 of shape (texts, full length). Does not split the batch."""
        roles = {"query": self.inner.encode_query, "document": self.inner.encode_document, None: self.inner.encode}
        rows = roles[call.role](
            list(texts),
            # Always given: which of its prompts stands for a role is decided in one place, and that is not here.
            prompt=call.prompt,
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_tensor=True,
        )
        vectors: FloatArray = rows.float().cpu().numpy()
        return vectors


def load(options: SentenceOptions) -> SentenceModel:
    """Raises `PluginBroken` without sentence-transformers, and `ConfigError` for weights that it cannot use."""
    (kind,) = imported("sentence_transformers:SentenceTransformer", install=_INSTALL)
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    folder = locate(options, options.model, (*_FILES, *(_CODE if options.trust_remote_code else ())), _OTHERS)
    _check_kind(folder, options)
    try:
        model = kind(
            str(folder),
            device=str(device),
            trust_remote_code=options.trust_remote_code,
            # Its own files are all there; code of its own may be kept in another repository.
            local_files_only=not (options.download and options.trust_remote_code),
            model_kwargs={"dtype": dtype},
        )
        if model.dtype != dtype:  # modules that are not made by transformers
            model.to(dtype)
    except Exception as error:  # models bring code, files and requirements of any kind
        raise _unloadable(error, folder, options) from error
    return SentenceModel(model, folder)


def _check_kind(folder: Path, options: SentenceOptions) -> None:
    """Anything else would be loaded, too: with a pooling that nobody trained it for."""
    if not (folder / "modules.json").is_file():
        raise ConfigError(
            f"the folder {folder} is no sentence-transformers model: modules.json is missing, which says how tokens "
            f"become a vector; {how_to_get(options, options.model)}"
        )
    file = folder / "config_sentence_transformers.json"
    if not file.is_file():
        return
    try:
        kind = json.loads(file.read_text(encoding="utf-8")).get("model_type", _KIND)
    except (OSError, ValueError, AttributeError) as error:
        raise ConfigError(f"{file} cannot be read ({error}); {how_to_get(options, options.model)}") from error
    if kind != _KIND:
        raise ConfigError(f"the model in {folder} is a {kind}: only a {_KIND} gives one vector for each text")


def _unloadable(error: Exception, folder: Path, options: SentenceOptions) -> NestvecError:
    if isinstance(error, NestvecError):
        return error
    reason = f"{type(error).__name__}: {first_line(error)}"
    if "trust_remote_code" in str(error) and not options.trust_remote_code:
        return ConfigError(
            f"the model in {folder} brings Python code of its own, which is not run unasked; read it, and if you trust "
            f"it, write trust_remote_code = true"
        )
    if is_out_of_memory(error):
        return EmbedderError(f'the model in {folder} does not fit into memory; try dtype = "bfloat16" ({reason})')
    if isinstance(error, ImportError):
        return PluginBroken(f"the model in {folder} needs a package that is not there: {error}")
    return ConfigError(f"the model in {folder} cannot be loaded ({reason}); {how_to_get(options, options.model)}")


# ---------------------------------------------------------------- counting tokens


class _Preprocessed:
    """As the model itself prepares texts: with prompt, marks, chat template, by the right one of its tokenizers."""

    def __init__(self, model: SentenceTransformer) -> None:
        self._model = model

    def count(self, texts: Sequence[str], call: Call, *, cut: bool) -> list[int]:
        how = {"processing_kwargs": _CUT if cut else _UNCUT}
        task = {"task": call.role} if call.role else {}
        return [len(ids) for ids in self._model.preprocess(list(texts), prompt=call.prompt, **task, **how)["input_ids"]]


class _Tokenized:
    """Of input modules that are not of transformers but have a tokenizer of its kind."""

    def __init__(self, model: SentenceTransformer) -> None:
        self._model = model

    def count(self, texts: Sequence[str], call: Call, *, cut: bool) -> list[int]:
        whole = [call.prompt + text for text in texts]
        counts = [len(ids) for ids in self._model.tokenizer(whole, truncation=False, verbose=False)["input_ids"]]
        return _cut(counts, self._model) if cut else counts


class _Characters:
    """Of all others: no text has more tokens than characters."""

    def __init__(self, model: SentenceTransformer) -> None:
        self._model = model

    def count(self, texts: Sequence[str], call: Call, *, cut: bool) -> list[int]:
        counts = [len(call.prompt) + len(text) for text in texts]
        return _cut(counts, self._model) if cut else counts


def _tokens_of(model: SentenceTransformer) -> _Preprocessed | _Tokenized | _Characters:
    from sentence_transformers.base.modules import Router, Transformer
    from transformers import PreTrainedTokenizerBase

    first = model[0]
    inputs: list[Any] = [route[0] for route in first.sub_modules.values()] if isinstance(first, Router) else [first]
    if all(isinstance(each, Transformer) for each in inputs):
        return _Preprocessed(model)
    tokenizer = getattr(first, "tokenizer", None)
    return _Tokenized(model) if isinstance(tokenizer, PreTrainedTokenizerBase) else _Characters(model)


def _safe(model: SentenceTransformer) -> float:
    """Up to so many tokens no text is cut off, whichever of the model's parts it goes through."""
    names = ("max_seq_length", "query_length", "document_length")
    limits = [getattr(part, name, None) for part in model.modules() for name in names]
    limits += [getattr(part, "processing_kwargs", {}).get("text", {}).get("max_length") for part in model.modules()]
    return min((limit for limit in limits if isinstance(limit, int | float)), default=math.inf)


def _cut(counts: list[int], model: SentenceTransformer) -> list[int]:
    limit = _finite(model.max_seq_length)
    return counts if limit is None else [min(count, limit) for count in counts]


def _finite(limit: float | None) -> int | None:
    # transformers' tokenizers say "none" with 10^30.
    return int(limit) if limit is not None and math.isfinite(limit) and limit < 10**9 else None
