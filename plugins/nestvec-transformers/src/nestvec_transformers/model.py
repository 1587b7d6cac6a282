"""jina-embeddings-v3 as transformers and PEFT hold it: one base, an adapter for each task."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nestvec.encoding.tasks import JINA_V3_TASKS, PASSAGE, QUERY, check_task
from nestvec.errors import ConfigError, EmbedderError, NestvecError
from nestvec_transformers.batching import is_out_of_memory
from nestvec_transformers.device import choose_device, choose_dtype
from nestvec_transformers.libraries import check_versions, imported, quiet
from nestvec_transformers.options import REPOSITORY, TransformersOptions, capabilities
from nestvec_transformers.weights import first_line, how_to_get, locate, model_type, require

if TYPE_CHECKING:
    from nestvec.types import FloatArray
    from nestvec_transformers.sequences import Sequence as Tokenized

#: What the model reads before a text, by task.
PROMPTS: Mapping[str, str] = {
    PASSAGE: "Represent the document for retrieval: ",
    QUERY: "Represent the query for retrieving evidence documents: ",
}
#: The folder of each task's adapter in the checkpoint, and its name in the model.
ADAPTERS: Mapping[str, str] = {task: task.replace(".", "_").replace("-", "_") for task in JINA_V3_TASKS}
_TYPE = "jina_embeddings_v3"
_FILES = ("config.json", "model.safetensors|model.safetensors.index.json", "tokenizer.json")
_OF_AN_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
_ADAPTER_FILES = [f"{adapter}/{file}" for adapter in ADAPTERS.values() for file in _OF_AN_ADAPTER]
#: Of all that the repository holds, as patterns.
_NEEDED = ("config.json", "model*.safetensors", "model.safetensors.index.json", "tokenizer*", *_ADAPTER_FILES)


class JinaV3:
    """The loaded model. Safe for threads: one forward pass at a time, with the adapter of its task."""

    def __init__(self, options: TransformersOptions) -> None:
        """Raises `ConfigError` where the weights are not, or not all of them, where they should be."""
        self._torch, _, _ = imported("torch", "transformers", "peft")
        check_versions()
        self._lock = threading.Lock()
        self._task: str | None = None
        self._declared = capabilities(options)
        self.device = choose_device(options.device)
        with quiet():
            folder = locate(options, REPOSITORY, _NEEDED)
            _check(folder, options)
            self.tokenizer = _tokenizer(folder, options)
            self._model = self._loaded(folder, options)

    def vectors(self, sequences: Sequence[Tokenized], task: str | None) -> list[FloatArray]:
        """One forward pass: for each sequence the mean over each of its ranges, shape (ranges, 1024), as it is.

        Raises `Unsupported` for a task that the model does not have.
        """
        check_task(self._declared, task)
        torch = self._torch
        longest = max(len(each.ids) for each in sequences)
        ids = np.full((len(sequences), longest), self._model.config.pad_token_id, np.int64)
        mask = np.zeros_like(ids)
        for row, each in enumerate(sequences):
            ids[row, : len(each.ids)] = each.ids
            mask[row, : len(each.ids)] = 1
        with self._lock, torch.inference_mode():
            self._switch(task)
            hidden = self._model(
                input_ids=torch.from_numpy(ids).to(self.device), attention_mask=torch.from_numpy(mask).to(self.device)
            ).last_hidden_state
            means = [
                hidden[row, start:end].mean(0, dtype=torch.float32)
                for row, each in enumerate(sequences)
                for start, end in each.ranges
            ]
            rows: FloatArray = torch.stack(means).cpu().numpy()
        return np.split(rows, np.cumsum([len(each.ranges) for each in sequences])[:-1])

    def _switch(self, task: str | None) -> None:
        """Make the adapter of this task the one that is used; no task: the base alone."""
        if task == self._task:
            return
        if task is None:
            self._model.disable_adapters()
        else:
            if self._task is None:
                self._model.enable_adapters()
            self._model.set_adapter(ADAPTERS[task])
        self._task = task

    def _loaded(self, folder: Path, options: TransformersOptions) -> Any:
        dtype = choose_dtype(options.dtype, self.device)
        try:
            model = _base(folder, dtype, options)
            for adapter in ADAPTERS.values():
                where = {"subfolder": adapter, "local_files_only": True}
                info = model.load_adapter(str(folder), adapter_name=adapter, adapter_kwargs=where)
                # Of this adapter: those that were loaded before are not in its file.
                missing = [name for name in info.missing_keys if adapter in name.split(".")]
                _complete(folder / adapter, missing, options)
            model.disable_adapters()
            return model.eval().to(self.device)
        except NestvecError:
            raise
        except Exception as error:
            if is_out_of_memory(error):
                raise EmbedderError(
                    f"the memory of {self.device} does not suffice for {options.model}; set another device, or "
                    f'dtype = "bfloat16" or "float16"'
                ) from error
            raise ConfigError(
                f"the model in {folder} cannot be loaded ({type(error).__name__}: {first_line(error)}); "
                f"{how_to_get(options, REPOSITORY)}"
            ) from error


def _check(folder: Path, options: TransformersOptions) -> None:
    """Everything that can be known from names and from `config.json`."""
    if (folder / "config.json").is_file():
        found = model_type(folder)
        if found != _TYPE:
            raise ConfigError(
                f"the model in {folder} is a {found}, not a {_TYPE}: the checkpoint of jina-embeddings-v3 that needs "
                f"no foreign code is {REPOSITORY}; {how_to_get(options, REPOSITORY)}"
            )
    require(folder, [*_FILES, *_ADAPTER_FILES], options, REPOSITORY)


def _base(folder: Path, dtype: Any, options: TransformersOptions) -> Any:
    (kind,) = imported("transformers:JinaEmbeddingsV3Model")
    model, info = kind.from_pretrained(
        str(folder), dtype=dtype, add_pooling_layer=False, local_files_only=True, output_loading_info=True
    )
    _complete(folder, info["missing_keys"], options)
    if model.config.hidden_size != options.row.dimensions:
        raise ConfigError(
            f"the model in {folder} gives vectors of {model.config.hidden_size} dimensions; {options.model} has "
            f"{options.row.dimensions}"
        )
    return model


def _tokenizer(folder: Path, options: TransformersOptions) -> Any:
    """The tokenizer itself, which neither cuts nor pads, and knows where tokens stand in a text."""
    (kind,) = imported("transformers:AutoTokenizer")
    try:
        backend = kind.from_pretrained(str(folder), local_files_only=True).backend_tokenizer
    except Exception as error:
        raise ConfigError(
            f"the tokenizer in {folder} cannot be used ({type(error).__name__}: {first_line(error)}); "
            f"{how_to_get(options, REPOSITORY)}"
        ) from error
    backend.no_truncation()
    backend.no_padding()
    return backend


def _complete(place: Path, missing: Iterable[str], options: TransformersOptions) -> None:
    """What is missing would be filled with random numbers."""
    names = sorted(missing)
    if names:
        raise ConfigError(
            f"the weights in {place} are not complete: {len(names)} are missing, such as {names[0]}; "
            f"{how_to_get(options, REPOSITORY)}"
        )
