"""What every maker of a collection shares. Runs in the framework's own environment, which has no nestvec."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

COLLECTION = "theirs"


def given() -> tuple[str, list[dict[str, Any]]]:
    """Folder of the store, and documents: each with a text, metadata, and the vector of its text."""
    folder, documents = sys.argv[1:3]
    return folder, json.loads(Path(documents).read_text(encoding="utf-8"))


def vectors() -> dict[str, list[float]]:
    """The vector of each text."""
    return {each["text"]: each["vector"] for each in given()[1]}


def client() -> Any:
    """Qdrant, embedded in the folder."""
    from qdrant_client import QdrantClient

    return QdrantClient(path=given()[0])
