"""The emulator as a command: `nestvec emulate pinecone`. Light: the server is imported late."""

from __future__ import annotations

import click

from nestvec._cli.invocation import Invocation, command
from nestvec_testing.emulators.commands import address, key_from, serve


@click.command()
@address(5080)
@command
def pinecone(invocation: Invocation, host: str, port: int, key_env: str | None, latency: float) -> None:
    """Pinecone: control and data plane, in memory. Without --key-env its key is pc-test-key."""
    from nestvec_pinecone.testing.emulator import PineconeEmulator
    from nestvec_pinecone.testing.settings import PineconeSettings

    key = key_from(key_env)
    emulator = PineconeEmulator(PineconeSettings() if key is None else PineconeSettings(api_key=key))
    emulator.latency = latency

    def config(url: str) -> str:
        note = "" if key_env else "  # pc-test-key"
        variable = key_env or "PINECONE_API_KEY"
        return (
            f'[backends.pinecone]\nuse = "pinecone"\ncontrol_host = "{url}"\napi_key = {{ env = "{variable}" }}{note}'
        )

    serve(invocation, "pinecone", emulator, (host, port), config)
