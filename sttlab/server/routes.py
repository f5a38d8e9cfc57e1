"""What is answered at which path; the state is in `app.state`."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, WebSocket

from sttlab.audio import SAMPLE_RATE
from sttlab.server.choices import Devices, Models, find_devices, find_models
from sttlab.server.contract import schema
from sttlab.server.protocol import ALL, CLIENT

router = APIRouter()


@router.websocket("/ws")
async def ws(
    socket: WebSocket,
    events: str = "",
    stream: str = "",
    after: int | None = None,
    source: str = "",
    rate: int = SAMPLE_RATE,
) -> None:
    """Send transcripts; with ``events=all``, all that docs/protocol.md has.

    With ``source=client``, they are of the sound that the client sends.
    """
    state = socket.app.state
    if source == CLIENT:
        await state.microphones.serve(socket, events == ALL, rate)
    else:
        await state.hub.serve(socket, events == ALL, stream, after)


@router.get("/health")
async def health(request: Request) -> dict[str, Any]:
    """Say whether the server is well, and if not, why."""
    hub = request.app.state.hub
    session = hub.session
    failure = str(session.error) if session.error else None
    return {
        "status": "degraded" if failure else "ready",
        "why": failure,
        "model": session.worker.transcriber.name,
        "source": session.source.name,
        "capturing": session.running,
        "clients": len(hub.clients),
    }


@router.get("/devices")
async def devices() -> Devices:
    """List the microphones that a client may choose from."""
    return await asyncio.to_thread(find_devices)


@router.get("/models")
async def models() -> Models:
    """List the models and the languages that a client may choose from."""
    return await asyncio.to_thread(find_models)


@router.get("/protocol.json")
async def protocol() -> dict[str, Any]:
    """Give the JSON schema of what goes over `/ws`."""
    return schema()
