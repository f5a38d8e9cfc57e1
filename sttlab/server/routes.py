"""The routes of the server; `app.state` holds the objects that serve them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response, WebSocket
from fastapi.exceptions import (
    HTTPException,
    RequestValidationError,
    ValidationException,
    WebSocketRequestValidationError,
)
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.requests import HTTPConnection

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
QUERY_OF_FILES = ("name", "track", "channel")
QUERY = ("events", "stream", "after", "history", "source", "keep", *sorted(OF_AUDIO))

# Of a track or a channel, which people count from 1.
Counted = Annotated[int | None, Query(ge=1)]

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
    keep: Literal["", "yes"] = "",
) -> None:
    """Send transcripts; with ``events=all``, every event of docs/protocol.md.

    With ``source=client``, the client sends the audio, which ``keep=yes`` has the server keep.
    """
    state = socket.app.state
    if unknown := _unknown(socket, QUERY):
        await refuse(socket, POLICY_VIOLATION, unknown)
    elif source == "client":
        try:
            sent = Form(form, rate, channels)
        except SourceError as error:
            await refuse(socket, POLICY_VIOLATION, str(error))
            return
        await state.microphones.serve(socket, events == "all", sent, keep=keep == "yes")
    elif OF_AUDIO & set(socket.query_params):
        reason = "format, rate and channels are of audio that a client sends: add source=client"
        await refuse(socket, POLICY_VIOLATION, reason)
    elif keep:
        reason = "keep is of audio that a client sends: add source=client"
        await refuse(socket, POLICY_VIOLATION, reason)
    else:
        await state.hub.serve(socket, events == "all", stream, after, history)


def _unknown(asked: HTTPConnection, known: tuple[str, ...]) -> str | None:
    """Say which name in the query is not known, and which are."""
    unknown = [name for name in asked.query_params if name not in known]
    return f"unknown {unknown[0][:20]!r}; known are {', '.join(known)}" if unknown else None


async def refuse_query(socket: WebSocket, error: Exception) -> None:
    """Refuse a query of `/ws` with the reason; FastAPI by itself answers a bare 403."""
    assert isinstance(error, WebSocketRequestValidationError)
    await refuse(socket, POLICY_VIOLATION, _what_is_wrong(error))


async def refuse_request(_: Request, error: Exception) -> JSONResponse:
    """Refuse a query with the reason as text, as all refusals have it."""
    assert isinstance(error, RequestValidationError)
    return JSONResponse({"detail": _what_is_wrong(error)}, 422)


def _what_is_wrong(error: ValidationException) -> str:
    wrong = error.errors()[0]
    return f"{wrong['loc'][-1]}: {wrong['msg']}"


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether the server works, and what it serves."""

    status: Literal["ready", "degraded"]
    why: str | None
    model: str
    source: str
    capturing: bool
    keeping: bool
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
        keeping=hub.session.keeps,
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
        422: {
            "description": "It is not audio that can be decoded, it has no such track or channel, "
            "or the query is not valid.",
            **DETAIL,
        },
        503: {
            "description": "Too many files at once, no model, a server that stops, or one that "
            "lacks descriptors or memory.",
            **DETAIL,
        },
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
async def files(
    request: Request,
    name: str = "",
    track: Counted = None,
    channel: Counted = None,
) -> StreamingResponse:
    """Transcribe the recording in the request's body, in nearly any format.

    For a few formats, such as raw G.722, only the suffix of `name` tells the format. By default
    the track is the file's default one, and all channels are mixed.
    """
    if unknown := _unknown(request, QUERY_OF_FILES):
        raise HTTPException(422, unknown)
    files = request.app.state.files
    answer: StreamingResponse = await files.transcribe(request, name, track, channel)
    return answer
