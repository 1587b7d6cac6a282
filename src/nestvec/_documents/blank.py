"""Documents without a text: stored with their metadata, and found by everything but searches.

Every database wants a vector for each record, so they have one that means nothing, and a layout of their own by which
searches leave them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from nestvec._chunking import EMPTY
from nestvec._documents.layout import hash_text
from nestvec._documents.upsert import IncomingDocument, PreparedDocument
from nestvec._metadata import hash_metadata

if TYPE_CHECKING:
    from nestvec._metadata import ProjectedMetadata
    from nestvec._specs import CollectionSpec
    from nestvec.types import FloatArray, Record

#: What the hash of a document ends in whose text is None, and not blank.
_NONE: Final = "-none"


def prepare_blank(spec: CollectionSpec, item: IncomingDocument, projected: ProjectedMetadata) -> PreparedDocument:
    """A document whose text is None or blank; the rest of it is checked."""
    text = item.document.text or ""
    known = hash_text(text)
    return PreparedDocument(
        id=item.document.id,
        text=text,
        metadata=projected.stored,
        misfits=projected.misfits,
        spans=((0, len(text)),),
        hashes=(known,),
        document_hash=known + (_NONE if item.document.text is None else ""),
        metadata_hash=hash_metadata(projected.stored),
        layout=EMPTY,
        source=item,
        given={0: _meaningless(spec.space.dimensions)},
    )


def text_was_none(head: Record) -> bool:
    """Whether the document of this head was given None for its text."""
    return head.system.get("layout") == EMPTY and str(head.system.get("document_hash", "")).endswith(_NONE)


def _meaningless(dimensions: int) -> FloatArray:
    vector = np.zeros(dimensions, np.float32)
    vector[0] = 1.0
    return vector
