"""The routes of the server; `app.state` holds the objects that serve them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response, WebSocket
from fastapi.exceptions import WebSocketRequestValidationError
from fastapi.responses import FileResponse, PlainTextResponse, StreamingResponse

from sttlab.config import VERSION, TranscribeConfig, VadConfig
from sttlab.errors import SourceError
from sttlab.server.choices import Devices, Models, find_devices, find_models
from sttlab.server.connection import POLICY_VIOLATION, refuse
from sttlab.server.contract import schema
from sttlab.server.feed import MISSED_MESSAGES
from sttlab.server.forms import Form, Format
from sttlab.server.metrics import CONTENT_TYPE
from sttlab.shipped import shipped

router = APIRouter()
OF_AUDIO = {"format", "rate", "channels"}
QUERY = ("events", "stream", "after", "history", "source", *sorted(OF_AUDIO))

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
    events: Literal["", "all"] = "",
    stream: str = "",
    after: int | None = None,
    history: Annotated[int, Query(ge=0, le=MISSED_MESSAGES)] = 0,
    source: Literal["", "client"] = "",
    form: Annotated[Format, Query(alias="format")] = "s16le",
    rate: int | None = None,
    channels: int = 1,
) -> None:
    """Send transcripts; with ``events=all``, every event of docs/protocol.md.

    With ``source=client``, the client sends the audio.
    """
    state = socket.app.state
    unknown = [name for name in socket.query_params if name not in QUERY]
    if unknown:
        reason = f"unknown {unknown[0][:20]!r}; known are {', '.join(QUERY)}"
        await refuse(socket, POLICY_VIOLATION, reason)
    elif source == "client":
        try:
            sent = Form(form, rate, channels)
        except SourceError as error:
            await refuse(socket, POLICY_VIOLATION, str(error))
            return
        await state.microphones.serve(socket, events == "all", sent)
    elif OF_AUDIO & set(socket.query_params):
        reason = "format, rate and channels are of audio that a client sends: add source=client"
        await refuse(socket, POLICY_VIOLATION, reason)
    else:
        await state.hub.serve(socket, events == "all", stream, after, history)


async def refuse_query(socket: WebSocket, error: Exception) -> None:
    """Refuse a query of `/ws` with the reason; FastAPI by itself answers a bare 403."""
    assert isinstance(error, WebSocketRequestValidationError)
    wrong = error.errors()[0]
    await refuse(socket, POLICY_VIOLATION, f"{wrong['loc'][-1]}: {wrong['msg']}")


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether the server works, and what it serves."""

    status: Literal["ready", "degraded"]
    why: str | None
    model: str
    source: str
    capturing: bool
    clients: int
    microphones: int


@dataclass(frozen=True, kw_only=True)
class InForce:
    """What a server was started with, or clients have changed since."""

    version: int = VERSION
    vad: VadConfig
    transcribe: TranscribeConfig | None = field(
        metadata={"description": "null if the engine was made by hand"}
    )


@router.get("/health")
async def health(request: Request) -> Health:
    """Say whether the server is ready, or why it is degraded."""
    state = request.app.state
    hub = state.hub
    why = hub.ailment()
    return Health(
        status="degraded" if why else "ready",
        why=why,
        model=hub.session.engine_name,
        source=hub.session.source.name,
        capturing=hub.session.running,
        clients=len(hub.feed.connections),
        microphones=len(state.microphones.open),
    )


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request) -> Response:
    """Return metrics in the format of Prometheus."""
    return Response(request.app.state.metrics.text(), media_type=CONTENT_TYPE)


@router.get("/devices")
async def devices() -> Devices:
    """List the microphones that a client may choose from."""
    return await asyncio.to_thread(find_devices)


@router.get("/models")
async def models() -> Models:
    """List the models and the languages that a client may choose from."""
    return await asyncio.to_thread(find_models)


@router.get("/config")
async def config(request: Request) -> InForce:
    """Return the current settings as a settings file."""
    session = request.app.state.session
    return InForce(vad=session.config, transcribe=session.worker.engine_config)


@router.get("/protocol.json")
async def protocol() -> dict[str, Any]:
    """Return the JSON schema of the messages of `/ws`."""
    return schema()


@router.get(
    "/demo.flac",
    response_class=FileResponse,
    responses={
        200: {"content": {"audio/flac": {"schema": {"type": "string", "format": "binary"}}}}
    },
)
async def sample() -> FileResponse:
    """Return a recording of half a minute of speech, to try the server."""
    return FileResponse(shipped("data/demo.flac"), media_type="audio/flac")


@router.post(
    "/files",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Lines of JSON as in docs/protocol.md, sent as soon as they are made.",
            "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
        },
        408: {"description": "The rest of the file did not arrive in time.", **DETAIL},
        413: {"description": "The file is too large.", **DETAIL},
        415: {"description": "The body is a form and not a file.", **DETAIL},
        422: {"description": "The file is not audio that can be decoded.", **DETAIL},
        503: {"description": "Too many files at once, or no model.", **DETAIL},
        507: {"description": "The server's disk has no room for the file.", **DETAIL},
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
async def files(request: Request, name: str = "") -> StreamingResponse:
    """Transcribe the recording in the request's body, in nearly any format.

    For a few formats, such as raw G.722, only the suffix of `name` tells the format.
    """
    answer: StreamingResponse = await request.app.state.files.transcribe(request, name)
    return answer
