"""A collection as mem0 makes it: its own code writes the memories; model and embedder are stood in for."""

from __future__ import annotations

import os
import tempfile

os.environ |= {"MEM0_TELEMETRY": "False", "MEM0_DIR": tempfile.mkdtemp(), "OPENAI_API_KEY": "none"}

from common import COLLECTION, given, vectors
from mem0 import Memory

folder, documents = given()
size = len(documents[0]["vector"])
memory = Memory.from_config(
    {
        "vector_store": {
            "provider": "qdrant",
            "config": {"collection_name": COLLECTION, "path": folder, "embedding_model_dims": size, "on_disk": True},
        },
    }
)
known = vectors()
for each in documents:
    memory._create_memory(each["text"], {each["text"]: known[each["text"]]}, {**each["metadata"], "user_id": "ada"})
memory.vector_store.client.close()
