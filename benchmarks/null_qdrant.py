"""A Qdrant server that keeps nothing, in a process of its own: writes are confirmed, questions find the same points.

What it says of its collection was answered by the emulator once. It is faster than any client, so what is measured
beside it is the client.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import Any

import httpx

HITS = 10
#: What a search asks for first: what there is.
ASKED = ("/", "/collections", "/aliases", "/collections/docs_1", "/collections/docs_1/exists")


class NullQdrant:
    """Use in a `with` statement; `url` is its address."""

    def __init__(self, values: dict[str, Any], runtime: Any) -> None:
        from nestvec import connect
        from nestvec_qdrant.testing import QdrantEmulator

        with QdrantEmulator() as emulator:
            values = {**values, "backends": {"q": {"use": "qdrant", "url": emulator.url}}}
            with connect(values, runtime) as nv:
                nv.apply()
            self._told = {path: httpx.get(emulator.url + path).text for path in ASKED}

    def __enter__(self) -> NullQdrant:
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(self._told) + "\n")
        self._process.stdin.flush()
        self.url = f"http://127.0.0.1:{int(self._process.stdout.readline())}"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


def point(number: int) -> dict[str, Any]:
    """A point as nestvec writes it."""
    return {
        "id": f"00000000-0000-5000-8000-{number:012d}",
        "version": 1,
        "score": 0.9 - number / 100,
        "payload": {
            "document_id": f"doc-{number}",
            "text": f"Document {number} speaks of this and that. " * 8,
            "metadata": {"lang": "de", "year": 2000 + number},
            "nestvec": {"chunk": 0, "chunks": 1, "start": 0, "end": 300, "layout": "g1", "revision": 0, "version": "v"},
        },
    }


class Answers(asyncio.Protocol):
    """HTTP as clients of this benchmark speak it: bodies with a length, one request after the other."""

    told: dict[str, bytes]
    found = json.dumps({"points": [point(number) for number in range(HITS)]}).encode()

    def connection_made(self, transport: Any) -> None:
        """Remember whom to answer."""
        self._transport, self._data = transport, b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is whole."""
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = self._data[:end].lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else 0
            if len(self._data) < end + 4 + length:
                return
            method, path, _ = self._data[: self._data.index(b"\r\n")].split(b" ")
            body, self._data = self._data[end + 4 : end + 4 + length], self._data[end + 4 + length :]
            reply = self._reply(method, path.partition(b"?")[0], body)
            top = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(reply)
            self._transport.write(top + reply)

    def _reply(self, method: bytes, path: bytes, body: bytes) -> bytes:
        if method == b"GET":
            return self.told[path.decode()]
        result = b"[]"
        if path.endswith(b"/query"):
            result = self.found
        elif path.endswith(b"/query/batch"):
            result = b"[" + b",".join([self.found] * (body.count(b'"limit"') or 1)) + b"]"
        elif path.endswith(b"/scroll"):
            result = b'{"points":[],"next_page_offset":null}'
        elif path.endswith(b"/count"):
            result = b'{"count":0}'
        elif method == b"PUT" or path.endswith(b"/delete"):
            result = b'{"operation_id":1,"status":"completed"}'
        return b'{"result":' + result + b',"status":"ok","time":0.0}'


async def serve() -> None:
    """Until the process is ended."""
    Answers.told = {path: text.encode() for path, text in json.loads(sys.stdin.readline()).items()}
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve())
