"""Text and Markdown: a file is a document, its name the id."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from nestvec._readers.encoding import decode, encodable
from nestvec._readers.sources import too_long
from nestvec.errors import InvalidDocument
from nestvec.types import Document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nestvec._readers.items import Item
    from nestvec._readers.rows import Rows
    from nestvec._readers.sources import SourceReader


def read(cursor: SourceReader, _: Rows) -> Iterator[Item]:
    """The one document of the source. Line ends stay as they are."""
    name = cursor.source.name
    if not encodable(name):
        raise InvalidDocument("the file's name is not valid UTF-8, so it cannot be an id: rename the file")
    with cursor.open() as file:
        data = file.read(cursor.limits.document + 1)
    try:
        if len(data) > cursor.limits.document:
            raise too_long("the text", cursor.limits.document)
        text = decode(data, "the file").removeprefix(codecs.BOM_UTF8.decode())
    except InvalidDocument as error:
        yield cursor.failure(error, document_id=name)
        return
    yield cursor.document(Document(name, text), None)
