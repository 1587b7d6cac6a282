"""The shape of a configuration file, as far as the core knows it. Plugins validate their own options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StrictBool,
    StrictInt,
    WithJsonSchema,
    model_validator,
)

from nestvec._artifacts import DEFAULT_FOLDER
from nestvec._chunking import Chunking
from nestvec._limits import ReadLimits, in_bytes
from nestvec.config.problems import did_you_mean
from nestvec.errors import ConfigError, InvalidInput
from nestvec.options import Bytes, LocalPath, Options
from nestvec.paths import format_path, parse_path
from nestvec.types import Field as MetadataField
from nestvec.types import Metric, Purpose, Storage

if TYPE_CHECKING:
    from nestvec.contract import ForeignLayout, ForeignPreset

FIELD_KINDS = ("keyword", "integer", "float", "boolean", "datetime")
_RESERVED = frozenset({"nestvec"})


def _parse_field(value: Any) -> Any:
    if isinstance(value, MetadataField):
        return value
    try:
        return MetadataField.parse(value)
    except (ValueError, AttributeError) as error:
        kinds = ", ".join(FIELD_KINDS)
        raise ValueError(f"unknown field type {value!r}; use {kinds}, or a list of them, as in keyword[]") from error


_KINDS = {"enum": [*FIELD_KINDS, *(f"{kind}[]" for kind in FIELD_KINDS)]}
FieldKind = Annotated[
    MetadataField, PlainValidator(_parse_field), PlainSerializer(str, return_type=str), WithJsonSchema(_KINDS)
]


def _canonical(path: str) -> str:
    try:
        return format_path(parse_path(path))
    except InvalidInput as error:
        raise ValueError(str(error)) from error


class FieldBlock(Options):
    """`{ type = "keyword", path = "meta.author" }`; `"keyword"` says the same of a key of the field's name."""

    type: FieldKind
    path: Annotated[str, AfterValidator(_canonical)] | None = Field(
        default=None, min_length=1, description="Where its value is in the metadata: keys joined by dots."
    )


def _field(value: Any) -> Any:
    return value if isinstance(value, Mapping | FieldBlock) else {"type": _parse_field(value)}


FieldDeclaration = Annotated[
    FieldBlock,
    BeforeValidator(_field),
    WithJsonSchema(
        {
            "anyOf": [
                _KINDS,
                {
                    "type": "object",
                    "properties": {"type": _KINDS, "path": {"type": "string", "minLength": 1}},
                    "required": ["type"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]


def _free(name: str) -> str:
    if name in _RESERVED:
        raise ValueError(f"field name {name!r} is reserved for nestvec; rename it")
    from nestvec.filters.fields import check_name  # late: many files declare no fields

    return check_name(name)


FieldName = Annotated[str, AfterValidator(_free)]


class PluginBlock(Options):
    """`[embedders.NAME]` and `[backends.NAME]`: `use` names the plugin, the rest are the plugin's options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    use: str = Field(description="Name of the plugin, as `nestvec plugins` lists it.")

    @property
    def options(self) -> dict[str, Any]:
        """Everything but `use`."""
        return dict(self.model_extra or {})


class EmbedderBlock(PluginBlock):
    """`[embedders.NAME]`: `cache` and `nesting` are the core's, too."""

    # Checked together with the plugin's options (`nestvec.config.additions`): a mistake here hides none there.
    cache: Any = None
    nesting: Any = None
    price: Any = None


class BackendBlock(PluginBlock):
    """`[backends.NAME]`: how its requests are repeated is the core's, too."""

    attempts: Any = None
    deadline: Any = None


class TasksBlock(Options):
    """Explicit tasks, instead of a purpose."""

    index: str | None = Field(default=None, description="Task for stored texts.")
    query: str | None = Field(default=None, description="Task for questions.")


class ChunkingBlock(Options):
    """How documents are split."""

    unit: Literal["characters", "tokens"] = "characters"
    size: StrictInt = Field(default=1000, ge=1, description="Most units in a chunk.")
    overlap: StrictInt = Field(
        default=0, ge=0, description="Units that neighbouring chunks share; 0 under late chunking."
    )
    format: Literal["auto", "text", "markdown"] = "auto"
    tokenizer: str | None = Field(default=None, description="Path of a Hugging Face tokenizer.json, for unit = tokens.")

    @model_validator(mode="after")
    def _overlap_fits(self) -> ChunkingBlock:
        if self.overlap >= self.size:
            raise ValueError(f"overlap ({self.overlap}) must be smaller than size ({self.size})")
        return self

    def chunking(self) -> Chunking:
        """As the core uses it."""
        return Chunking(self.unit, self.size, self.overlap, self.format, self.tokenizer)


class ForeignBlock(Options):
    """Where a collection that somebody else made keeps what nestvec reads, under the backend's own names."""

    preset: str | None = Field(
        default=None, description='A framework that made it, as in "langchain"; `foreign = "langchain"` says the same.'
    )
    collection: str | None = Field(default=None, min_length=1, description="Its name; default: this collection's.")
    vector: str | None = Field(default=None, description="Name of the vector; may be left out if there is one.")
    id: str | None = Field(default=None, min_length=1, description="Key of the document id; default: the record's id.")
    text: str | None = Field(default=None, min_length=1, description="Key of the text; default: texts are not read.")
    namespace: str | None = Field(default=None, description="Part of the collection, on backends that have such.")
    metadata: str | None = Field(
        default=None, min_length=1, description="Key of an object with the metadata; its keys are read as they are."
    )
    json_text: tuple[str, ...] = Field(
        default=(), description="Keys whose text is JSON with such objects; dots lead into them, too."
    )
    fields: dict[FieldName, str] = Field(
        default_factory=dict,
        description="Keys of declared fields; default: their own names, in `metadata` if that is given. Dots lead into "
        "objects.",
    )
    verify: StrictBool = Field(default=True, description="Embed a few of its texts and compare, on adopting it.")

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"preset": value} if isinstance(value, str) else value

    def layout(self, name: str, fields: Iterable[str], presets: Mapping[str, ForeignPreset]) -> ForeignLayout:
        """How to read the collection. What is said here goes before what the preset says.

        Raises `ConfigError` where there is no such preset.
        """
        from nestvec.contract import ForeignLayout, ForeignPreset, field_path

        if self.preset is not None and self.preset not in presets:
            raise ConfigError(
                f"there is no preset {self.preset!r} for this backend{did_you_mean(self.preset, presets)}"
            )
        usual = presets[self.preset] if self.preset is not None else ForeignPreset(text="")
        metadata, texts = self.metadata or usual.metadata, self.json_text or usual.json
        return ForeignLayout(
            collection=self.collection or name,
            vector=self.vector,
            id=self.id or usual.id,
            text=self.text or usual.text or None,
            namespace=self.namespace,
            fields={each: self.fields.get(each) or field_path(each, metadata, texts) for each in fields},
            metadata=metadata,
            json=texts,
        )


#: How many candidates a stage of a funnel takes for each one of the next, where the configuration does not say.
FUNNEL_OVERSAMPLING = 4.0


class CollectionBlock(Options):
    """`[collections.NAME]`."""

    # The backend's own options stand in a table named after its plugin: [collections.NAME.PLUGIN].
    model_config = ConfigDict(extra="allow", frozen=True)

    backend: str | None = Field(
        default=None, description="Name of a [backends.*] block; may be left out if there is one."
    )
    embedder: str | None = Field(
        default=None,
        description="Name of an [embedders.*] block; may be left out if there is one. "
        '"none": vectors come with documents and questions.',
    )
    model: str | None = Field(
        default=None, min_length=1, description='With embedder = "none": the model that made the vectors.'
    )
    normalized: StrictBool | None = Field(
        default=None, description='With embedder = "none": whether vectors have length 1; default true.'
    )
    purpose: Purpose | None = Field(default=None, description="What the collection is for; default retrieval.")
    tasks: TasksBlock | None = Field(default=None, description="Explicit tasks, instead of a purpose.")
    dimensions: StrictInt | None = Field(
        default=None, description="Length of the stored vectors; default: the model's full length."
    )
    metric: Metric = Metric.COSINE
    storage: Storage = Field(default=Storage.FLOAT32, description="How the database keeps and compares vectors.")
    funnel: tuple[StrictInt, ...] = Field(
        default=(), description="Lengths of prefixes that choose a search's candidates, ascending, as in [64, 256]."
    )
    oversampling: float | None = Field(
        default=None,
        ge=1,
        allow_inf_nan=False,
        description="Candidates for each result that is wanted; default: 4 with a funnel or binary, 2 with int8. "
        "Without any of them it has no effect.",
    )
    late_chunking: StrictBool = Field(default=False, description="Embed each chunk in the context of its document.")
    namespaces: StrictBool = Field(default=False, description="Keep tenants apart; every call then names one.")
    store_text: StrictBool = Field(default=True, description="Keep the chunks' texts in the database.")
    fields: dict[FieldName, FieldDeclaration] = Field(
        default_factory=dict,
        description='Metadata fields to filter on, and their types; "open" declares none, and sets open_fields.',
    )
    open_fields: StrictBool = Field(default=False, description="Filter on what is not declared, too, by its path.")
    strict_fields: StrictBool = Field(
        default=False, description="Refuse documents whose values do not fit the declared types."
    )
    empty: Literal["keep", "refuse"] = Field(
        default="refuse",
        description="Documents without a text: refused, or kept, and found by everything but searches.",
    )
    chunking: ChunkingBlock = ChunkingBlock()
    previous: CollectionBlock | None = Field(
        default=None,
        description="What it was before, where that differs: keys of this block. Handles serve whichever is there.",
    )
    adopt: StrictBool = Field(default=False, description="Read a collection that somebody else made, as it is.")
    foreign: ForeignBlock | None = Field(
        default=None,
        description="Where it keeps what nestvec reads (with adopt), or the framework that made it, by name.",
    )

    @model_validator(mode="before")
    @classmethod
    def _open(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or value.get("fields") != "open":
            return value
        return {**value, "fields": {}, "open_fields": True}

    @property
    def declared(self) -> dict[str, MetadataField]:
        """The fields' types."""
        return {name: declared.type for name, declared in self.fields.items()}

    @property
    def paths(self) -> dict[str, str]:
        """Where fields are that are no top-level key of the same name."""
        stated = {name: declared.path for name, declared in self.fields.items() if declared.path is not None}
        return {name: path for name, path in stated.items() if parse_path(path) != (name,)}

    def _projections(self) -> list[str]:
        reasons, owners = list[str](), dict[str, str]()
        for name, declared in self.fields.items():
            path = declared.path or format_path((name,))
            other = owners.setdefault(path, name)
            if self.fields[other].type != declared.type:
                reasons.append(
                    f"fields {other!r} ({self.fields[other].type}) and {name!r} ({declared.type}) are both projected "
                    f"from {path!r}: one value has one type"
                )
        return reasons

    @model_validator(mode="after")
    def _coherent(self) -> CollectionBlock:
        reasons = self._projections()
        if self.purpose is not None and self.tasks is not None:
            reasons.append("set purpose or tasks, not both")
        if self.late_chunking and self.chunking.overlap:
            reasons.append("chunking.overlap must be 0 under late chunking: chunks see their neighbours anyway")
        if list(self.funnel) != sorted(set(self.funnel)) or any(size < 1 for size in self.funnel):
            reasons.append(f"funnel: write lengths of at least 1, each once and ascending, not {list(self.funnel)}")
        reasons += self._adoption()
        if self.previous is not None:
            reasons += self._misplaced(self.previous)
        if reasons:
            raise ValueError("; ".join(reasons))
        return self

    def _adoption(self) -> list[str]:
        if not self.adopt:
            return ["foreign is for adopted collections: set adopt = true, or leave it out"] if self.foreign else []
        reasons = []
        if self.storage is not Storage.FLOAT32 or self.funnel:
            reasons.append("an adopted collection is read as it is; leave storage and funnel out")
        if self.namespaces:
            reasons.append("an adopted collection has no namespaces of nestvec's; leave namespaces out")
        if self.paths or self.open_fields or self.strict_fields or self.empty == "keep":
            reasons.append(
                "an adopted collection is read as it is: say in foreign.fields where fields are, and leave path, "
                "open_fields, strict_fields and empty out"
            )
        unknown = sorted(set(self.foreign.fields if self.foreign else ()) - set(self.fields))
        if unknown:
            reasons.append(f"foreign.fields names {', '.join(unknown)}, which fields does not: declare its type")
        return reasons

    def _misplaced(self, previous: CollectionBlock) -> list[str]:
        """What cannot have been otherwise before a migration."""
        reasons = []
        if self.adopt or previous.adopt or previous.foreign is not None:
            reasons.append("only nestvec's own collections migrate; leave previous out, or adopt")
        if previous.previous is not None:
            reasons.append("previous: name only what the collection was last, without a previous of its own")
        if "namespaces" in previous.model_fields_set and previous.namespaces is not self.namespaces:
            reasons.append("previous.namespaces: a migration does not bring namespaces or do away with them")
        return reasons

    def before(self, plugin: str | None) -> CollectionBlock | None:
        """The block as it was before, whole. `plugin`: whose options stand in the block, unless it was elsewhere."""
        if self.previous is None:
            return None
        values = self.model_dump(exclude_unset=True, exclude={"previous"})
        changed = self.previous.model_dump(exclude_unset=True)
        if changed.keys() & {"purpose", "tasks"}:
            values = {key: value for key, value in values.items() if key not in ("purpose", "tasks")}
        if changed.get("embedder", self.embedder) != self.embedder:  # what made the vectors says one without embedder
            values = {key: value for key, value in values.items() if key not in ("model", "normalized")}
        if changed.get("backend", self.backend) != self.backend:
            values.pop(plugin or "", None)
        return CollectionBlock.model_validate({**values, **changed})

    def candidates(self) -> float:
        """How many candidates a search takes for each result that is wanted."""
        usual = max(FUNNEL_OVERSAMPLING if self.funnel else 1.0, self.storage.oversampling)
        return usual if self.oversampling is None else self.oversampling

    def layout(self, name: str, presets: Mapping[str, ForeignPreset]) -> ForeignLayout | None:
        """How to read the collection, if it is adopted. Raises `ConfigError`."""
        return (self.foreign or ForeignBlock()).layout(name, self.fields, presets) if self.adopt else None


_LIMITS = ReadLimits()


class LimitsBlock(Options):
    """`[limits]`: how much is read of a file of documents or questions. What is more becomes a failure."""

    document: Bytes = Field(
        default=in_bytes(_LIMITS.document),
        validate_default=True,
        description="One line, row or text file, and a file of questions: what has to fit into memory.",
    )
    file: Bytes = Field(default=in_bytes(_LIMITS.file), validate_default=True, description="One file, unpacked.")
    rows: StrictInt = Field(default=_LIMITS.rows, ge=1, description="Rows, lines or values of one file.")
    failures: StrictInt = Field(
        default=_LIMITS.failures, ge=1, description="Rows of one file that are no documents; then it is left."
    )

    def limits(self) -> ReadLimits:
        """As the readers use them."""
        return ReadLimits(self.document, self.file, self.rows, self.failures)


class FileBlock(Options):
    """The whole file."""

    artifacts: LocalPath = Field(
        default=Path(DEFAULT_FOLDER),
        validate_default=True,
        description="Folder of the rotations that `nestvec nest` fits.",
    )
    embedders: dict[str, EmbedderBlock] = Field(default_factory=dict)
    backends: dict[str, BackendBlock] = Field(default_factory=dict)
    collections: dict[str, CollectionBlock] = Field(default_factory=dict)
    limits: LimitsBlock = LimitsBlock()
