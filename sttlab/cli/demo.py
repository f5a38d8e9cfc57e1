"""`sttlab demo`."""

from __future__ import annotations

import asyncio
import json
import re
from concurrent.futures import Future
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Annotated

import typer

from sttlab.cli.terminal import load_worker, side_thread, wait_for
from sttlab.config import Config
from sttlab.errors import SttlabError
from sttlab.shipped import shipped

if TYPE_CHECKING:
    from sttlab.live.session import Session

DEMO_WORDS = 0.8  # least share of the words that the demo must transcribe; tiny.en finds nearly all


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the server up afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """See it work, on a recording.

    The recording plays in real time, as if it were the microphone. The real server runs on a free
    port. A client of its WebSocket prints each transcript as it arrives, with its delay: the
    seconds since the end of that speech, which include the silence timeout.
    """
    from sttlab.capture import FileSource
    from sttlab.live.session import Session
    from sttlab.server.launch import launch_server

    audio = shipped("data/demo.flac")
    expected = _words(shipped("data/demo.txt").read_text(encoding="utf-8"))
    worker = load_worker(Config())
    session = Session(FileSource(audio), model=worker)
    with launch_server(session, port=0) as server:
        print(f"{audio.name} plays as if it were the microphone; watch it at {server.url}")
        with side_thread() as thread:
            texts = wait_for(thread.submit(lambda: asyncio.run(_receive(server.ws_url, session))))
        matched = _matched(expected, _words(" ".join(texts)))
        print(f"{matched} of {len(expected)} words came as in the recording's own text")
        if keep:
            print(f"{server.url} stays up until Ctrl-C, and plays again where its page asks")
            wait_for(Future())
    worker.stop()
    if matched < DEMO_WORDS * len(expected):
        raise SttlabError(f"less than {DEMO_WORDS:.0%} of the words were transcribed")


async def _receive(ws_url: str, session: Session) -> list[str]:
    """Print the texts of a plain client, with the delays that a client of all events receives."""
    from websockets.asyncio.client import connect

    texts: list[str] = []
    due: int | None = None
    async with connect(f"{ws_url}?events=all") as everything, connect(ws_url) as plain:
        async for message in everything:
            event = json.loads(message)
            if event["event"] == "transcript":
                text = json.loads(await plain.recv())["text"]
                print(f"{event['delay_s']:5.2f} s  {text}", flush=True)
                texts.append(text)
            elif event["event"] == "session_failed":
                raise SttlabError(event["message"])
            elif event["event"] == "source_ended":
                await asyncio.to_thread(session.wait)
                due = len(session.history)
            if due is not None and len(texts) >= due:
                break
    return texts


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _matched(expected: list[str], received: list[str]) -> int:
    """Count the words that are in both, in the same order."""
    blocks = SequenceMatcher(None, expected, received, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)
