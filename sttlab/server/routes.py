"""What is answered at which path; the state is in `app.state`."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, WebSocket
from fastapi.responses import StreamingResponse

from sttlab.audio import SAMPLE_RATE
from sttlab.server.choices import Devices, Models, find_devices, find_models
from sttlab.server.contract import schema
from sttlab.server.protocol import ALL, CLIENT

router = APIRouter()

DETAIL: dict[str, Any] = {
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"detail": {"type": "string"}},
                "required": ["detail"],
            }
        }
    }
}


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


@router.post(
    "/files",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Lines of JSON, as docs/protocol.md has them, sent as they are made.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        },
        408: {"description": "Nothing more of the file came.", **DETAIL},
        413: {"description": "The file is too large.", **DETAIL},
        422: {"description": "The file is no sound that can be decoded.", **DETAIL},
        503: {"description": "Too many files at once, or no model.", **DETAIL},
    },
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
)
async def files(request: Request) -> StreamingResponse:
    """Transcribe a recording, in nearly any format, that comes as the body of the request."""
    answer: StreamingResponse = await request.app.state.files.transcribe(request)
    return answer
