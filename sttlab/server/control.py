"""Obeys what clients ask for: `set`, `use` and `end`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from sttlab.capture import Microphone
from sttlab.capture.microphone import find_device, list_devices
from sttlab.errors import ConfigError, SttlabError
from sttlab.live.session import Session
from sttlab.server import protocol
from sttlab.server.engine import CHOICES, SharedEngine
from sttlab.server.feed import Feed
from sttlab.server.protocol import End, Request, Set, Use, Using
from sttlab.server.supervisor import Supervisor


class Control:
    """Obeys requests, or refuses them. Belongs to the event loop's thread.

    Parameters
    ----------
    session : Session
    engine : SharedEngine
        Of the session.
    feed : Feed
    supervisor : Supervisor
    changed : callable
        Called when the state may have changed. Its argument is whether the config has changed
        without an event that says so.
    locked : bool
        Whether `set` and `use` are refused.
    end : callable, optional
        Obeys `end`, and raises ConfigError if it can't; without it, `end` is refused.
    """

    def __init__(
        self,
        session: Session,
        engine: SharedEngine,
        feed: Feed,
        supervisor: Supervisor,
        changed: Callable[[bool], None],
        *,
        locked: bool,
        end: Callable[[], None] | None,
    ) -> None:
        self.locked = locked
        self._session = session
        self._engine = engine
        self._feed = feed
        self._supervisor = supervisor
        self._changed = changed
        self._end = end

    def using(self) -> Using:
        """Give what `use` has set."""
        config = self._engine.config
        return Using(
            device=getattr(self._session.source, "device", None),
            model=config.model if config else None,
            language=config.language if config else None,
            partials=self._feed.partials,
        )

    def may_use(self) -> tuple[str, ...]:
        """Name what `use` may change."""
        if self.locked:
            return ()
        device = isinstance(self._session.source, Microphone) and not self._session.kept
        return (*("device",) * device, *(CHOICES if self._engine.config else ()), "partials")

    async def answer(self, message: str | bytes) -> str | None:
        """Obey a message; give the refusal to send if it can't be obeyed, else None."""
        name = None
        try:
            if isinstance(message, bytes):
                raise ConfigError("send text; sound goes to /ws?source=client")
            decoded = protocol.decode(message)
            name = protocol.request_name(decoded)
            await self._obey(protocol.parse(decoded))
        except SttlabError as error:
            return protocol.refusal(error, name)
        return None

    async def _obey(self, request: Request) -> None:
        if isinstance(request, End):
            if self._end is None:
                raise ConfigError("the sound here doesn't come from a client")
            self._end()
        elif self.locked:
            raise ConfigError("this server is locked: its settings are made where it was started")
        elif isinstance(request, Set):
            self._session.update(protocol.change(self._session.config, request.changes))
            if not self._supervisor.capturing:  # else `ConfigChanged` follows
                self._changed(True)
        else:
            await self._use(request)

    async def _use(self, request: Use) -> None:
        changes = request.changes
        allowed = self.may_use()
        refused = [name for name in changes if name not in allowed]
        if refused:
            raise ConfigError(f"{refused[0]} can't be changed here")
        if "partials" in changes:
            self._feed.set_partials(changes["partials"])
        try:
            await self._use_engine({name: changes[name] for name in CHOICES if name in changes})
            if "device" in changes:
                await self._use_device(changes["device"])
            elif self._supervisor.problem:
                await self._supervisor.start()
        finally:
            self._changed(False)

    async def _use_engine(self, changes: dict[str, Any]) -> None:
        if changes:
            using = asyncio.create_task(self._engine.use(changes))
            await asyncio.sleep(0)  # the engine is busy from here on
            self._changed(False)
            await using

    async def _use_device(self, device: int | str | None) -> None:
        await asyncio.to_thread(lambda: find_device(device, list_devices()))
        source = type(self._session.source)(device)  # type: ignore[call-arg]
        await self._supervisor.change_source(source)
