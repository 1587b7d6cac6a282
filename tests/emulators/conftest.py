"""An emulated Jina API, a client of it, and the official description."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import httpx
import pytest

from nestvec_testing.emulators.jina import JinaEmulator
from nestvec_testing.emulators.jina.contract import JinaContract

V3 = "jina-embeddings-v3"


class Api:
    """The emulator, and a client with its key."""

    def __init__(self, emulator):
        self.emulator = emulator
        self.client = httpx.Client(headers={"Authorization": f"Bearer {emulator.api_key}"}, timeout=10)
        self.stranger = httpx.Client()

    def close(self):
        self.client.close()
        self.stranger.close()

    def post(self, texts="text", *, model=V3, headers=None, **fields):
        body = {"model": model, "input": texts, **fields}
        return self.client.post(f"{self.emulator.base_url}/embeddings", json=body, headers=headers)

    def send(self, content, **more):
        return self.client.post(f"{self.emulator.base_url}/embeddings", content=content, **more)

    def with_key(self, header):
        """A request by somebody else, with such an Authorization header or None."""
        headers = {} if header is None else {"Authorization": header}
        return self.stranger.post(
            f"{self.emulator.base_url}/embeddings", json={"model": V3, "input": "text"}, headers=headers
        )

    async def post_all(self, requests, **fields):
        """All at once; replies in the order of the requests."""
        async with httpx.AsyncClient(headers=self.client.headers, timeout=10) as client:
            url = f"{self.emulator.base_url}/embeddings"
            bodies = [{"model": V3, "input": texts, "dimensions": 2, **fields} for texts in requests]
            return await asyncio.gather(*(client.post(url, json=body) for body in bodies))


def contract_in(environment):
    """The official description, which is not part of this repository; skips or fails without."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "contracts"
    file = Path(environment.get("NESTVEC_CONTRACTS") or beside) / "jina-openapi.json"
    if not file.is_file():
        told = f"no {file.name} in {file.parent}: set NESTVEC_CONTRACTS to its folder"
        if environment.get("CI") == "true":
            pytest.fail(f"{told}; CI must not go without")
        pytest.skip(told)
    return JinaContract(file)


@pytest.fixture(scope="session")
def find_contract():
    return contract_in


@pytest.fixture(scope="session")
def contract():
    return contract_in(os.environ)


@pytest.fixture(scope="session")
def process():
    with JinaEmulator() as emulator:
        api = Api(emulator)
        yield api
        api.close()


@pytest.fixture
def jina(process):
    """A fresh emulator."""
    process.emulator.reset()
    yield process
    process.emulator.reset()


@pytest.fixture
def described(jina, contract):
    """The emulator; after the test, its replies (and the requests that it carried out) must be as described."""
    yield jina
    for exchange in jina.emulator.exchanges:
        assert contract.reply_problems(exchange.status, exchange.answer) == []
        if exchange.status == 200:
            assert contract.request_problems(exchange.body) == []
