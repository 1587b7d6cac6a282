"""`[embedders.NAME]` with `use = "sentence-transformers"`.

What decides whether two vectors may be compared is declared here and checked against the model when it opens: so a plan
is the same on every machine, whether the weights are there or not.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StrictBool, StrictInt, model_validator

from nestvec.capabilities import ModelCapabilities
from nestvec_transformers.options import NAME, LocalOptions
from nestvec_transformers.sentence_tasks import Tasks


class SentenceOptions(LocalOptions):
    """Any model of sentence-transformers in this process."""

    model: str = Field(
        pattern=NAME,
        max_length=120,
        description="Its canonical name, which the space carries; by default its repository.",
    )
    dimensions: StrictInt = Field(ge=1, description="Length of its full vector.")
    matryoshka: tuple[Annotated[StrictInt, Field(ge=1)], ...] = Field(
        (), description="Shorter lengths that it was trained for; what lies between them can be had, too."
    )
    prompts: dict[str, str] = Field({}, description="What it puts before texts, by its own names for them.")
    default_prompt: str | None = Field(None, description="Which of the prompts stands before a text without a task.")
    asymmetric: StrictBool = Field(
        False, description="It embeds questions in another way than passages, apart from prompts (with a Router)."
    )
    normalized: StrictBool = Field(True, description="False for models that are compared by dot product or distance.")
    max_tokens: StrictInt | None = Field(
        None, ge=8, description="Most tokens of a text, prompt and marks included; default: what the model takes."
    )
    trust_remote_code: StrictBool = Field(False, description="Run the Python files that come with the model.")

    @model_validator(mode="after")
    def _consistent(self) -> SentenceOptions:
        longer = [size for size in self.matryoshka if size > self.dimensions]
        if longer:
            raise ValueError(f"matryoshka: {longer[0]} is longer than the full vector: dimensions = {self.dimensions}")
        if self.default_prompt is not None and not self.prompts.get(self.default_prompt):
            raise ValueError(f"default_prompt: prompts has no {self.default_prompt!r}")
        return self

    @property
    def tasks(self) -> Tasks:
        """What the model can be asked for."""
        return Tasks(self.prompts, self.default_prompt, self.asymmetric)


def capabilities(options: SentenceOptions) -> ModelCapabilities:
    """What was declared. Nothing is read or loaded."""
    tasks = options.tasks
    return ModelCapabilities(
        model=options.model,
        dimensions=options.dimensions,
        min_dimensions=min(options.matryoshka, default=options.dimensions),
        purposes=tasks.purposes,
        tasks=tasks.names,
        max_tokens=options.max_tokens,
        normalized=options.normalized,
        prompts=tasks.texts,
        host=f"sentence-transformers/{options.provenance}",
        batch=options.batch,
    )
