"""The dimensions report: which size suffices, measured on one's own data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from nestvec._evaluation.probe import run_probes
from nestvec._evaluation.request import DimensionsRequest

if TYPE_CHECKING:
    from nestvec._collections.services import ClientServices
    from nestvec._documents.sampling import SampleProgress
    from nestvec._evaluation.options import DimensionsOptions
    from nestvec._evaluation.report import DimensionsReport
    from nestvec._questions import Question
    from nestvec.types import Document


async def dimensions(
    client: ClientServices,
    collection: str | None,
    *,
    texts: Iterable[str | Document] | None = None,
    embedder: str | None = None,
    backend: str | None = None,
    queries: Iterable[str | Question] | None = None,
    options: DimensionsOptions | None = None,
    progress: SampleProgress | None = None,
) -> DimensionsReport:
    """Gather vectors, measure every size on them, and what the options name on the backend itself.

    Raises `InvalidInput`, `InvalidName`, `ConfigError` or `Unsupported` for what cannot be done, and what reading or
    embedding raises.
    """
    wanted = DimensionsRequest.of(client.config, collection, texts, embedder, backend, queries, options)
    opened = await client.located(collection) if collection is not None else None
    session = client.session(wanted.spec.backend, wanted.spec.embedder) if opened is None else opened.session
    wanted = wanted.at(client.config, opened)
    chosen = await client.outside(wanted.choose)
    gathered = await wanted.gather(opened or session, chosen, progress)
    measured = await client.outside(wanted.measure, gathered, await client.rotation(wanted.connection))
    probes, refused = measured.probes(client.config, client.runtime.clock)
    return measured.report(await run_probes(session, probes), refused)
