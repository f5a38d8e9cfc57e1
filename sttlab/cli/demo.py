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

DEMO_WORDS = 0.8  # of the demo's words must come; tiny.en finds nearly all


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the server up afterwards, until Ctrl-C.")
    ] = False,
) -> None:
    """See it work, on a recording.

    It plays in real time, as if it were the microphone. The real server runs on a free port, and
    a client of its WebSocket prints each transcript as it comes, with its delay: the seconds since
    the end of that speech, the silence timeout included.
    """
    from sttlab.capture import FileSource
    from sttlab.live.session import Session
    from sttlab.server.launch import launch_server

    sound = shipped("data/demo.flac")
    expected = _words(shipped("data/demo.txt").read_text(encoding="utf-8"))
    worker = load_worker(Config())
    session = Session(FileSource(sound), model=worker)
    with launch_server(session, port=0) as server:
        print(f"{sound.name} plays as if it were the microphone; watch it at {server.url}")
        with side_thread() as thread:
            heard = wait_for(thread.submit(lambda: asyncio.run(_listen(server.ws_url, session))))
        matched = _matched(expected, _words(" ".join(heard)))
        print(f"{matched} of {len(expected)} words came as in the recording's own text")
        if keep:
            print(f"{server.url} stays up until Ctrl-C, and plays again for each first visitor")
            wait_for(Future())
    worker.stop()
    if matched < DEMO_WORDS * len(expected):
        raise SttlabError(f"less than {DEMO_WORDS:.0%} of the words came")


async def _listen(ws_url: str, session: Session) -> list[str]:
    """Print what a plain client gets; a second one, which gets every event, knows the delays."""
    from websockets.asyncio.client import connect

    heard: list[str] = []
    due: int | None = None
    async with connect(f"{ws_url}?events=all") as everything, connect(ws_url) as plain:
        async for message in everything:
            event = json.loads(message)
            if event["event"] == "transcript":
                text = json.loads(await plain.recv())["text"]
                print(f"{event['delay_s']:5.2f} s  {text}", flush=True)
                heard.append(text)
            elif event["event"] == "session_failed":
                raise SttlabError(event["message"])
            elif event["event"] == "source_ended":
                await asyncio.to_thread(session.wait)
                due = len(session.history)
            if due is not None and len(heard) >= due:
                break
    return heard


def _words(text: str) -> list[str]:
    return re.findall(r"[\w']+", text.lower())


def _matched(expected: list[str], heard: list[str]) -> int:
    """How many words stand in both, in the same order."""
    blocks = SequenceMatcher(None, expected, heard, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks)
