"""How each client takes the steps of `nestvec._migration.lifecycle`."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from nestvec._migration.lifecycle import Between, Counter, Load, On, Ready, Step, Turn
from nestvec._session import asynchronous, sync
from nestvec.errors import NestvecError

if TYPE_CHECKING:
    from nestvec._client.asynchronous import AsyncNestvec
    from nestvec._client.sync import Nestvec


@dataclass(frozen=True, slots=True)
class SyncSteps:
    """For `nestvec._session.sync.run`."""

    owner: Nestvec
    turn: AbstractContextManager[object] = field(default_factory=nullcontext)

    def answer(self, request: Step) -> Any:
        """Take one step."""
        match request:
            case On():
                return sync.run(request.flow, self.owner._ports(request.backend, request.like.embedder))
            case Between():
                return self._between(request)
            case Turn():
                return self.owner._rotation(request.connection)
            case Load():
                return request.read()
            case Counter():
                return self.owner.embedder(request.embedder).count_tokens()
            case Ready():
                self.owner.embedder(request.embedder)
                return None

    def _between(self, step: Between) -> Any:
        source, target = (self.owner._ports(spec.backend, spec.embedder) for spec in (step.source, step.target))
        ports = sync.PairPorts(source, target)
        try:
            return sync.run(step.flow, ports)
        except BaseException:  # Ctrl-C, too: what was begun can be taken back here, and no longer inside the flow
            if step.give_up is not None:
                with suppress(NestvecError):  # the first error is the one to be told; a fence runs out by itself
                    sync.run(step.give_up(), ports)
            raise


@dataclass(frozen=True, slots=True)
class AsyncSteps:
    """For `nestvec._session.asynchronous.run`."""

    owner: AsyncNestvec

    async def answer(self, request: Step) -> Any:
        """Take one step."""
        match request:
            case On():
                ports = self.owner._ports(request.backend, request.like.embedder)
                return await asynchronous.run(request.flow, ports)
            case Between():
                return await self._between(request)
            case Turn():
                return await self.owner._rotation(request.connection)
            case Load():
                return await asyncio.to_thread(request.read)
            case Counter():
                return (await self.owner.embedder(request.embedder)).count_tokens()
            case Ready():
                await self.owner.embedder(request.embedder)
                return None

    async def _between(self, step: Between) -> Any:
        source, target = (self.owner._ports(spec.backend, spec.embedder) for spec in (step.source, step.target))
        ports = asynchronous.AsyncPairPorts(source, target)
        try:
            return await asynchronous.run(step.flow, ports)
        except BaseException:  # cancellation, too; see above
            if step.give_up is not None:
                with suppress(NestvecError):
                    await asynchronous.run(step.give_up(), ports)
            raise
