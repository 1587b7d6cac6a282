"""The dimensions report: which size suffices, measured on one's own data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nestvec._collections.services import open_live
from nestvec._evaluation.probe import run_probes

if TYPE_CHECKING:
    from nestvec._collections.services import ClientServices
    from nestvec._documents.sampling import SampleProgress
    from nestvec._evaluation.report import DimensionsReport
    from nestvec._evaluation.request import DimensionsRequest


async def dimensions_report(
    wanted: DimensionsRequest, client: ClientServices, progress: SampleProgress | None = None
) -> DimensionsReport:
    """Gather vectors, measure every size on them, and what the options name on the backend itself.

    Raises `InvalidInput` or `Unsupported` where that cannot be done, and what reading or embedding raises.
    """
    opened = await open_live(client, wanted.collection) if wanted.collection is not None else None
    session = client.session(wanted.spec.backend, wanted.spec.embedder) if opened is None else opened.session
    wanted = wanted.at(client.config, opened)
    chosen = await client.outside(wanted.choose)
    gathered = await wanted.gather(opened or session, chosen, progress)
    measured = await client.outside(wanted.measure, gathered, await client.rotation(wanted.connection))
    probes, refused = measured.probes(client.config, client.runtime.clock)
    return measured.report(await run_probes(session, probes), refused)
