"""A file in place of a microphone: when it plays for clients, and what they get once it is over."""

from __future__ import annotations

from pathlib import Path

import pytest

from sttlab.audio import Recording
from sttlab.capture import FileSource
from sttlab.live.session import Session
from sttlab.server.launch import launch_server
from tests.fakes import WAIT_S, Counting, speech, wait_until
from tests.server.clients import ALL, VAD, Told, client, receive, receive_state, send


@pytest.fixture
def played(tmp_path: Path) -> Session:
    """A session of a file of two utterances that has played to its end before there is a server."""
    path = tmp_path / "talk.wav"
    Recording(speech(2)).save(path)
    session = Session(FileSource(path, speed=None), vad=VAD, model=Counting())
    with session:
        assert session.wait(WAIT_S)
    assert session.over
    return session


def test_a_file_that_is_over_plays_again_only_when_a_client_asks(played: Session) -> None:
    with launch_server(played, port=0) as server, client(server, f"{ALL}&history=9") as page:
        hello = receive(page)
        assert (hello["over"], hello["capturing"]) == (True, False)
        assert [receive(page, "transcript")["utterance_id"] for _ in range(2)] == [0, 1]
        assert played.starts == 1
        send(page, use={})
        again = receive_state(page, over=False)
        assert again["stream"] != hello["stream"]
        assert receive_state(page, over=True, capturing=False)["stream"] == again["stream"]
        send(page, use={})  # of a file that has ended, while this client holds capture
        receive_state(page, over=True, stream=f"{played.id}-3")
    assert played.starts == 3


def test_a_file_that_is_over_plays_for_a_plain_client(played: Session) -> None:
    with launch_server(played, port=0) as server, client(server) as plain:
        assert [receive(plain)["event"] for _ in range(2)] == ["transcript", "transcript"]
    assert played.starts == 2


def test_a_file_that_was_stopped_where_the_server_runs_stays_stopped(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    Recording(speech(20)).save(path)
    session = Session(FileSource(path), vad=VAD, model=Counting())
    with launch_server(session, port=0) as server:
        with client(server, ALL) as page:
            assert not receive(page)["over"]
            receive(page, "level")
            session.stop()
            receive_state(page, over=True)
        with client(server, ALL) as page:
            assert receive(page)["over"]
    assert session.starts == 1


def test_texts_from_before_the_first_client_are_not_lost(source: Told) -> None:
    with Session(source, vad=VAD, model=Counting()) as session:
        source.say(2)
        wait_until(lambda: len(session.history) == 2)
        with (
            launch_server(session, port=0) as server,
            client(server, f"{ALL}&history=9") as page,
        ):
            stream = receive(page)["stream"]
            assert [receive(page, "transcript")["utterance_id"] for _ in range(2)] == [0, 1]
        with (
            launch_server(session, port=0) as server,
            client(server, f"{ALL}&stream={stream}&after=0") as page,
        ):
            assert receive(page)["stream"] == stream
            assert receive(page, "transcript")["utterance_id"] == 1
