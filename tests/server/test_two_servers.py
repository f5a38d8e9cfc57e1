"""Two servers of one session, which runs while either has a client, and ends with the last."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sttlab.errors import DeviceUnavailable
from sttlab.live.session import Session
from sttlab.server.launch import ServerHandle, launch_server
from tests.fakes import WAIT_S, Counting
from tests.server.clients import (
    ALL,
    OWN,
    SPOKEN,
    VAD,
    Told,
    client,
    receive,
    receive_state,
    send,
    wait_for_capture,
    wait_until_not,
)


@pytest.fixture
def session(source: Told) -> Session:
    return Session(source, vad=VAD, model=Counting())


@pytest.fixture
def servers(session: Session) -> Iterator[tuple[ServerHandle, ServerHandle]]:
    # With port 0 at the same host, the second server would replace the first.
    with launch_server(session, port=0) as one, launch_server(session, "localhost", 0) as other:
        yield one, other


def test_capture_goes_on_until_the_last_client_of_both_disconnects(
    servers: tuple[ServerHandle, ServerHandle], session: Session, source: Told
) -> None:
    for first, second in (servers, servers[::-1]):
        with client(second) as stays:
            with client(first, ALL) as begins:
                receive(begins)
            wait_for_capture(source)
            wait_until_not(lambda: session.partials)
            source.say()
            assert receive(stays)["event"] == "transcript"
        assert source.was_closed.acquire(timeout=WAIT_S)
    assert source.opened == source.closed == 2


def test_stop_of_one_server_leaves_the_others_clients_served(
    servers: tuple[ServerHandle, ServerHandle], session: Session, source: Told
) -> None:
    one, other = servers
    with client(one), client(other) as stays, client(other, OWN) as speaks:
        wait_for_capture(source)
        one.stop()
        source.say()
        assert receive(stays)["event"] == "transcript"
        speaks.send(SPOKEN)
        assert receive(speaks)["event"] == "transcript"
    assert source.was_closed.acquire(timeout=WAIT_S)
    with client(other, OWN) as speaks:
        speaks.send(SPOKEN)
        assert receive(speaks)["event"] == "transcript"
    other.stop()
    assert (source.opened, session.worker._thread) == (1, None)


def test_stop_of_one_server_leaves_the_other_its_engine(
    servers: tuple[ServerHandle, ServerHandle],
) -> None:
    one, other = servers
    with client(other, OWN) as speaks:
        one.stop()
        speaks.send(SPOKEN)
        assert receive(speaks)["event"] == "transcript"


def test_session_started_by_hand_outlives_both_servers(
    servers: tuple[ServerHandle, ServerHandle], session: Session, source: Told
) -> None:
    one, other = servers
    with client(one, ALL) as page, client(other):
        assert receive(page)["capturing"]
        session.start()
    one.stop()
    other.stop()
    assert session.running
    session.stop()
    assert (source.opened, source.closed) == (1, 1)


def test_session_stopped_by_hand_restarts_with_the_next_client(
    servers: tuple[ServerHandle, ServerHandle], session: Session, source: Told
) -> None:
    with client(servers[0], ALL) as page, client(servers[1], ALL) as other:
        for each in (page, other):
            assert receive(each)["capturing"]
        session.stop()
        for each in (page, other):
            receive_state(each, capturing=False, problem=None)
        with client(servers[1]):
            for each in (page, other):
                receive_state(each, capturing=True)
        source.say()
        for each in (page, other):
            assert receive(each, "transcript")["text"]
    wait_until_not(lambda: session.running)
    assert source.opened == source.closed == 2


def test_failed_capture_is_restarted_for_clients_of_both(
    servers: tuple[ServerHandle, ServerHandle], source: Told
) -> None:
    with client(servers[0], ALL) as page, client(servers[1], ALL) as other:
        for each in (page, other):
            assert receive(each)["capturing"]
        source.left.append(DeviceUnavailable("it fell into the tea"))
        for each in (page, other):
            assert "tea" in receive_state(each, capturing=False)["problem"]
        for each in (page, other):
            receive_state(each, capturing=True, problem=None)
    assert source.was_closed.acquire(timeout=WAIT_S)


def test_partials_are_for_the_clients_that_want_them(
    servers: tuple[ServerHandle, ServerHandle], session: Session
) -> None:
    with client(servers[0], ALL) as page:
        with client(servers[1], ALL) as other:
            assert receive(page)["partials"]
            send(page, use={"partials": False})
            receive_state(page, partials=False)
            assert receive(other)["partials"]
            assert session.partials
        wait_until_not(lambda: session.partials)
        session.partials = True
    wait_until_not(lambda: session._wanting)
    assert session.partials
