"""Obeys what clients ask for: `set`, `use`, `speaker` and `end`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sttlab.capture import Microphone
from sttlab.capture.microphone import find_device, list_devices
from sttlab.errors import ConfigError, SttlabError
from sttlab.live.session import Session
from sttlab.server import protocol
from sttlab.server.engine import CHOICES, SharedEngine
from sttlab.server.feed import Feed
from sttlab.server.protocol import End, Request, Set, Speaker, Use, Using
from sttlab.server.supervisor import Supervisor

MOST_USES = 8  # of `use` that may be going on


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
        Whether `set`, `use` and `speaker` are refused.
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
        self._uses: set[asyncio.Task[None]] = set()

    def using(self) -> Using:
        """Return what `use` has set."""
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

    def answer(self, message: str | bytes, refuse: Callable[[str], None]) -> None:
        """Obey a message. A `use` may take its time; it goes on even if its client leaves.

        Parameters
        ----------
        message : str or bytes
        refuse : callable
            Sends the refusal to the client, if the message can't be obeyed.
        """
        name = None
        try:
            if isinstance(message, bytes):
                raise ConfigError("send text; audio goes to /ws?source=client")
            decoded = protocol.decode(message)
            name = protocol.request_name(decoded)
            self._obey(protocol.parse(decoded), refuse)
        except SttlabError as error:
            refuse(protocol.refusal(error, name))

    def _obey(self, request: Request, refuse: Callable[[str], None]) -> None:
        if isinstance(request, End):
            if self._end is None:
                raise ConfigError("the audio here doesn't come from a client")
            self._end()
        elif self.locked:
            raise ConfigError("this server is locked: its settings are made where it was started")
        elif isinstance(request, Set):
            self._session.update(protocol.change(self._session.config, request.changes))
            if not self._supervisor.capturing:  # else `ConfigChanged` follows
                self._changed(True)
        elif isinstance(request, Speaker):
            self._tell_speaker(request)
        else:
            self._begin_use(request, refuse)

    def _tell_speaker(self, request: Speaker) -> None:
        speakers = self._session.speakers
        if speakers is None:
            raise ConfigError("it is not asked who speaks here: start with --speakers")
        changes = request.changes
        if "rename" in changes:
            speakers.rename(changes["rename"], changes["to"])
        elif "merge" in changes:
            speakers.merge(changes["merge"], changes["into"])
        else:
            speakers.split(changes["split"])

    def _begin_use(self, request: Use, refuse: Callable[[str], None]) -> None:
        allowed = self.may_use()
        refused = [name for name in request.changes if name not in allowed]
        if refused:
            raise ConfigError(f"{refused[0]} can't be changed here")
        if len(self._uses) >= MOST_USES:
            raise ConfigError(f"{MOST_USES} changes are under way already: try again after them")
        task = asyncio.create_task(self._use(request.changes, refuse))
        self._uses.add(task)
        task.add_done_callback(self._uses.discard)

    async def _use(self, changes: Mapping[str, Any], refuse: Callable[[str], None]) -> None:
        if "partials" in changes:
            self._feed.set_partials(changes["partials"])
        try:
            engine = {name: changes[name] for name in CHOICES if name in changes}
            if engine:
                await self._engine.use(engine, lambda: self._changed(False))
            if "device" in changes:
                await self._use_device(changes["device"])
            elif not changes or self._supervisor.problem:
                if self._session.over:
                    await self._supervisor.change_source(self._session.source)
                await self._supervisor.start()
        except SttlabError as error:
            refuse(protocol.refusal(error, "use"))
        finally:
            self._changed(False)

    async def _use_device(self, device: int | str | None) -> None:
        await asyncio.to_thread(lambda: find_device(device, list_devices()))
        source = type(self._session.source)(device)  # type: ignore[call-arg]
        await self._supervisor.change_source(source)
