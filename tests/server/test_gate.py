"""Access control: tokens, addresses, host names and origins, and how requests are refused."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import ssl
import threading
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPCookieProcessor, HTTPSHandler, Request, build_opener, urlopen

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from sttlab.errors import ConfigError, ServerError, SttlabError
from sttlab.live.session import Session
from sttlab.server.gate import ONLY_HERE, Gate, check_hosts, check_origins, choose_token
from sttlab.server.launch import ServerHandle, launch_server
from tests.fakes import WAIT_S, Counting
from tests.ports import free_port
from tests.server.clients import VAD, Told, client, health, receive, wait_for_capture

TOKEN = "correct-horse-battery"


@pytest.fixture
def open_server(source: Told) -> Iterator[ServerHandle]:
    """A server that other machines can reach."""
    with launch_server(Session(source, vad=VAD, model=Counting()), "0.0.0.0", 0) as server:
        yield server


def status(url: str, **headers: str) -> int:
    try:
        with urlopen(Request(url, headers=headers), timeout=WAIT_S) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code


def test_token_is_needed_beyond_loopback(open_server: ServerHandle, source: Told) -> None:
    token = open_server.token
    assert token is not None
    assert len(token) > 20
    for url in (open_server.url, f"{open_server.url}health", f"{open_server.url}openapi.json"):
        assert status(url) == 403
        assert status(url, Authorization=f"Bearer {token}") == 200
        assert status(f"{url}?token={token}") == 200
        for wrong in ("", "None", token[:-1], token + "x", token.swapcase(), "%ff", "%00", "ü"):
            assert status(f"{url}?token={wrong.replace('ü', '%c3%bc')}") == 403
    with pytest.raises(InvalidStatus, match="403"), client(open_server):
        pass
    assert source.opened == 0
    with client(open_server, f"?token={token}") as one:
        wait_for_capture(source)
        source.say()
        assert receive(one)["event"] == "transcript"
    bearer = {"Authorization": f"Bearer {token}"}
    with client(open_server, "?events=all", additional_headers=bearer) as two:
        assert receive(two)["event"] == "hello"


def test_link_moves_the_token_from_the_address_into_a_cookie(
    open_server: ServerHandle,
) -> None:
    browser = build_opener(HTTPCookieProcessor(jar := CookieJar()))
    browser.addheaders = [("Accept", "text/html")]
    with browser.open(f"{open_server.link}&more=1", timeout=WAIT_S) as page:
        assert page.url == f"{open_server.url}?more=1"
        assert b"<script" in page.read()
    (cookie,) = jar
    assert cookie.has_nonstandard_attr("HttpOnly")
    with browser.open(f"{open_server.url}health", timeout=WAIT_S) as answer:
        assert answer.status == 200
    odd = f'theirs="a;b\\"; x=1=2; =;; {cookie.name}={cookie.value}; \x80=\xff'
    with client(open_server, additional_headers={"Cookie": odd}):
        pass
    assert status(open_server.url, Cookie=f"{cookie.name}=wrong") == 403


def test_handle_shows_the_link_and_logs_hold_no_token(
    source: Told, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)  # at DEBUG, uvicorn logs every byte of a handshake
    with launch_server(Session(source, vad=VAD, model=Counting()), "0.0.0.0", 0) as server:
        token = server.token
        assert token
        assert server.link == f"{server.url}?token={token}"
        assert server._repr_html_().count(f"/?token={token}") == 2
        assert f"{server.ws_url}?token={token}" in server._repr_html_()
        assert token not in repr(server)
        status(server.link, Accept="text/html")
        with client(server, f"?token={token}"):
            pass
    assert token not in caplog.text


def test_repeated_launch_keeps_the_token(source: Told) -> None:
    port = free_port()
    session = Session(source, vad=VAD, model=Counting())
    first = launch_server(session, "0.0.0.0", port).token
    with launch_server(session, "0.0.0.0", port) as again:
        assert again.token == first
    with launch_server(session, port=0, token=TOKEN) as own:
        assert own.token == TOKEN
        assert status(own.url) == 403
    with launch_server(session, port=0) as here:
        assert here.token is None
        assert here.link == here.url


def test_choose_token_makes_takes_or_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STTLAB_TOKEN", raising=False)
    for here in ("127.0.0.1", "127.8.0.1", "localhost", "::1"):
        assert choose_token(here) is None
        assert choose_token(here, TOKEN) == TOKEN
    made = {choose_token(host) for host in ("0.0.0.0", "::", "", "192.168.0.7", "laptop")}
    assert None not in made
    assert len(made) == 5
    monkeypatch.setenv("STTLAB_TOKEN", TOKEN)
    assert choose_token("127.0.0.1") == TOKEN
    for bad in ("", "short", "with spaces is no good", "ümlaute-sind-auch-nichts", "a;b" * 9):
        with pytest.raises(ConfigError, match="16 characters or more"):
            choose_token("localhost", bad)


def test_allowed_hosts_and_origins_are_checked() -> None:
    assert check_hosts(["Hub.Example"]) == ("hub.example",)
    assert check_origins(["https://Hub.example:8443/"]) == ("https://hub.example:8443",)
    for host in ("", "*", "https://hub.example", "hub.example:80", "a b"):
        with pytest.raises(ConfigError, match="is no name"):
            check_hosts([host])
    for origin in ("", "*", "hub.example", "https://*.example", "ftp://hub.example", "https://a/b"):
        with pytest.raises(ConfigError, match="is no origin"):
            check_origins([origin])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"allowed_hosts": "hub.example"}, r"a list: \['hub.example'\]"),
        ({"keyfile": "key.pem"}, "give certfile"),
        ({"port": 70_000}, "between 0 and 65535"),
        ({"port": -1}, "between 0 and 65535"),
    ],
)
def test_launch_refuses_invalid_options(source: Told, options: dict[str, Any], says: str) -> None:
    session = Session(source, vad=VAD, model=Counting())
    with pytest.raises(SttlabError, match=says):
        launch_server(session, **{"port": 0, **options})
    assert not session.worker.ready


def ask(gate: Gate, scope: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the gate's answer to a request."""
    sent: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        raise AssertionError("nothing more is read")

    asyncio.run(gate(scope, receive, send))
    return sent


async def inside(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "inside"})


def request(kind: str = "http", method: str = "GET", **more: Any) -> dict[str, Any]:
    plain = {"type": kind, "path": "/", "query_string": b"", "headers": [(b"host", b"localhost")]}
    return {**plain, "method": method, "client": ("127.0.0.1", 5), "scheme": "http", **more}


def test_other_machines_are_refused_with_the_reason_without_a_token(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gate = Gate(inside)
    for near in (("127.0.0.1", 1), ("::1", 1), ("::ffff:127.0.0.1", 1), None):
        assert ask(gate, request(client=near)) == [{"type": "inside"}]
    for far in ("192.168.0.7", "::ffff:192.168.0.7", "2001:db8::7", "unknown"):
        start, body = ask(gate, request(client=(far, 1)))
        assert start["status"] == 403
        assert ONLY_HERE.encode() in body["body"]
        assert ask(gate, request("websocket", client=(far, 1)))[0]["code"] == 1008
    assert caplog.text.count("was turned away") == 1


ODD = st.binary(max_size=40) | st.sampled_from(
    [b"http://[", b"http://[::1", b"[", b"http://\xff", b"localhost:x", b"//", b"null", b"\x00"]
)


@given(host=ODD, origin=ODD, cookie=ODD, query=ODD, bearer=ODD, kind=st.booleans())
def test_malformed_headers_are_never_admitted(
    host: bytes, origin: bytes, cookie: bytes, query: bytes, bearer: bytes, kind: bool
) -> None:
    headers = [(b"host", host), (b"origin", origin), (b"cookie", cookie)]
    headers.append((b"authorization", b"Bearer " + bearer))
    kinds = ("http", "websocket")
    scope = request(kinds[kind], "POST", headers=headers, query_string=query)
    assert {"type": "inside"} not in ask(Gate(inside, token=TOKEN), scope)


@given(origin=ODD)
def test_malformed_origin_is_refused_for_post(origin: bytes) -> None:
    headers = [(b"host", b"localhost"), (b"origin", origin)]
    answers = [ask(Gate(inside), request(method=m, headers=headers)) for m in ("GET", "POST")]
    assert answers[0] == [{"type": "inside"}]
    assert (answers[1] == [{"type": "inside"}]) == (origin == b"")


def test_post_with_the_token_is_not_redirected() -> None:
    headers = [(b"host", b"localhost"), (b"accept", b"text/html")]
    scope = request(method="POST", headers=headers, query_string=b"token=" + TOKEN.encode())
    assert ask(Gate(inside, token=TOKEN), scope) == [{"type": "inside"}]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, ssl.SSLContext]:
    """A certificate, its key, and a client's context that trusts it."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return folder / "cert.pem", folder / "key.pem", context


def test_server_serves_https_and_wss(
    certificate: tuple[Path, Path, ssl.SSLContext], source: Told
) -> None:
    certfile, keyfile, context = certificate
    session = Session(source, vad=VAD, model=Counting())
    options: dict[str, Any] = {"certfile": certfile, "keyfile": keyfile, "token": TOKEN}
    with launch_server(session, port=0, **options) as server:
        assert server.url.startswith("https://")
        asked = Request(server.link, headers={"Accept": "text/html"})
        cookies = HTTPCookieProcessor(jar := CookieJar())
        with build_opener(HTTPSHandler(context=context), cookies).open(asked) as page:
            assert page.status == 200
        assert all(cookie.secure for cookie in jar)
        with client(server, f"?token={TOKEN}", ssl=context) as one:
            wait_for_capture(source)
            source.say()
            assert receive(one)["event"] == "transcript"


def test_unusable_certificate_is_refused(
    certificate: tuple[Path, Path, ssl.SSLContext], tmp_path: Path, source: Told
) -> None:
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for files in ((broken, None), (certificate[0], broken), (tmp_path / "none.pem", None)):
        with pytest.raises(ConfigError, match=r"\.pem can't be used"):
            launch_server(
                Session(source, model=Counting()), port=0, certfile=files[0], keyfile=files[1]
            )


def test_encrypted_key_is_refused_without_a_prompt(
    certificate: tuple[Path, Path, ssl.SSLContext], tmp_path: Path, source: Told
) -> None:
    certfile, keyfile, _ = certificate
    key = serialization.load_pem_private_key(keyfile.read_bytes(), None)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    session = Session(source, model=Counting())
    with pytest.raises(ConfigError, match=r"encrypted: decrypt it, with `openssl pkey -in .*\.pem"):
        launch_server(session, port=0, certfile=certfile, keyfile=encrypted)


def test_failed_launch_leaves_the_running_server(
    certificate: tuple[Path, Path, ssl.SSLContext], source: Told
) -> None:
    with launch_server(Session(source, vad=VAD, model=Counting()), port=0) as server:
        session, port = server.session, urlsplit(server.url).port or 0
        for options in ({"certfile": "none.pem"}, {"token": "short"}, {"allowed_origins": ["*"]}):
            with pytest.raises(ConfigError):
                launch_server(session, port=0, **options)
        with pytest.raises(
            ServerError, match=f"port {port} is taken: stop the program or the serv"
        ):
            launch_server(session, port=port)
        assert health(server)["status"] == "ready"


def test_launch_refuses_what_is_not_a_session() -> None:
    session: Any = "tiny"
    with pytest.raises(ConfigError, match=r"a Session, such as Session\(Microphone.*not 'tiny'"):
        launch_server(session)


class SubPath:
    """A proxy, as Jupyter's, that serves another server at `/user/me/`, under the proxy's name."""

    def __init__(self, server: ServerHandle) -> None:
        url = urlsplit(server.url)
        self._target = url.hostname, url.port or 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._stopping = False
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            visitor, _ = self._listener.accept()
            if self._stopping:
                visitor.close()
                return
            self._threads.append(threading.Thread(target=self._serve, args=(visitor,)))
            self._threads[-1].start()

    def _serve(self, visitor: socket.socket) -> None:
        with visitor, socket.create_connection(self._target) as there:
            head = b""
            while b"\r\n\r\n" not in head and (part := visitor.recv(65536)):
                head += part
            head = head.replace(b" /user/me/", b" /", 1)
            if b"Upgrade: websocket" not in head:  # one request, as only its path is changed
                head = head.replace(b"Connection: keep-alive\r\n", b"")
                head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
            there.sendall(head)
            back = threading.Thread(target=self._pass, args=(there, visitor))
            back.start()
            self._pass(visitor, there)
            back.join()

    @staticmethod
    def _pass(one: socket.socket, other: socket.socket) -> None:
        try:
            while part := one.recv(65536):
                other.sendall(part)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def __enter__(self) -> SubPath:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping = True
        socket.create_connection(self._listener.getsockname()).close()  # wakes it
        self._listener.close()
        for thread in self._threads:
            thread.join(WAIT_S)


def test_page_and_socket_work_at_a_sub_path_of_a_proxy(source: Told) -> None:
    session = Session(source, vad=VAD, model=Counting())
    with launch_server(session, port=0, token=TOKEN) as server, SubPath(server) as proxy:
        base = f"http://{proxy.address}/user/me/"
        browser = build_opener(HTTPCookieProcessor(jar := CookieJar()))
        browser.addheaders = [("Accept", "text/html")]
        with browser.open(f"{base}?token={TOKEN}", timeout=WAIT_S) as page:
            assert page.url == base
            links = re.findall(rb'(?:src|href)="([^"]+)"', page.read())
        assert links
        assert not [link for link in links if link.startswith((b"/", b"http"))]
        (cookie,) = jar
        assert cookie.path == "/user/me"
        headers = {"Cookie": f"{cookie.name}={cookie.value}"}
        url, origin = f"ws://{proxy.address}/user/me/ws", Origin(f"http://{proxy.address}")
        with connect(url, origin=origin, additional_headers=headers) as one:
            wait_for_capture(source)
            source.say()
            assert '"transcript"' in str(one.recv(timeout=WAIT_S))
