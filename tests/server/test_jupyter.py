"""A server beside Jupyter: the link through jupyter-server-proxy, and requests through it."""

from __future__ import annotations

import http.client
import http.server
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("jupyter_core")

from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from sttlab.live.session import Session
from sttlab.server.jupyter import Proxy, find_proxy, links_html
from sttlab.server.launch import ServerHandle, launch_server
from tests.fakes import WAIT_S, Blocks, Counting

HUB = "hub.example"


class Jupyter(http.server.BaseHTTPRequestHandler):
    """A Jupyter server with the only page that `find_proxy` requests."""

    has_proxy = True

    def do_GET(self) -> None:
        known = self.path == "/user/anna/server-proxy/servers-info" and self.has_proxy
        let_in = self.headers["Authorization"] == "token secret"
        self.send_response(404 if let_in and not known else 302)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def jupyter(tmp_path, monkeypatch) -> Iterator[Any]:
    """A Jupyter server that seems to have started this process."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Jupyter) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}/user/anna/"
        monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
        monkeypatch.setenv("JPY_PARENT_PID", "1234567")
        about = {"url": url, "token": "secret"}
        (tmp_path / "jpserver-1234567.json").write_text(json.dumps(about))
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(jupyter) -> Iterator[ServerHandle]:
    session = Session(Blocks(then_wait=True), model=Counting())
    with launch_server(session, port=0) as server:
        yield server


def test_find_proxy_finds_jupyter_server_proxy(jupyter, monkeypatch, tmp_path):
    proxy = find_proxy()
    assert proxy
    assert proxy.path == "/user/anna/proxy/"
    assert find_proxy("given") == Proxy("/user/anna/proxy/", "given")
    monkeypatch.setattr(Jupyter, "has_proxy", False)
    assert find_proxy() is None
    (tmp_path / "jpserver-1234567.json").write_text(json.dumps({"url": "http://127.0.0.1:9/"}))
    assert find_proxy() is None, "the file of a server that is gone"
    (tmp_path / "jpserver-1234567.json").unlink()
    assert find_proxy() is None


def test_links_depend_on_where_the_browser_runs(monkeypatch):
    url = "http://127.0.0.1:8000/"
    alone = links_html(url, None)
    assert f'href="{url}"' in alone
    assert "ssh -L 8000:127.0.0.1:8000 MACHINE" in alone
    assert "jupyter-server-proxy" in alone
    assert "ssh" not in links_html("https://192.0.2.7:8000/?token=a", None), "it works as it is"
    both = links_html(url, Proxy("/proxy/", "a"))
    assert both.index(f'href="{url}"') < both.index('href="/proxy/8000/?token=a"')
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/anna/")
    hub = links_html(url, Proxy("/user/anna/proxy/", "a"))
    assert hub.index('href="/user/anna/proxy/8000') < hub.index(f'href="{url}"')


def test_handle_shows_the_proxy_link_and_keeps_its_token(server):
    link = server.proxy.link(urlsplit(server.url).port)
    assert f'href="{link}"' in server._repr_html_()
    assert server.proxy.token not in server.link + server.ws_url, "not needed here"
    with launch_server(server.session, port=0) as again:
        assert not server.running
        assert again.proxy == server.proxy, "pages that are open come back"


def test_given_token_also_serves_the_proxy(jupyter):
    session = Session(Blocks(then_wait=True), model=Counting())
    with launch_server(session, port=0, token="a" * 16) as server:
        assert server.proxy == Proxy("/user/anna/proxy/", "a" * 16)
        assert get(server, "/health", Host="127.0.0.1").status == 403


def test_token_is_needed_under_another_host_name(server):
    assert get(server, "/health", Host="127.0.0.1").status == 200
    assert get(server, "/health", Host=HUB).status == 403
    assert get(server, "/health?token=wrong", Host=HUB).status == 403
    assert get(server, f"/health?token={server.proxy.token}", Host=HUB).status == 200


def test_proxy_link_sets_a_cookie_that_opens_the_socket(server):
    link = get(server, f"/?token={server.proxy.token}", Host=HUB, Accept="text/html")
    assert (link.status, link.headers["Location"]) == (303, "./")
    assert "path" not in link.headers["Set-Cookie"].lower(), "it stays under the proxy's path"
    cookie = link.headers["Set-Cookie"].split(";")[0]
    assert get(server, "/", Host=HUB, Cookie=cookie).status == 200
    with socket_at_hub(server, Origin=f"https://{HUB}", Cookie=cookie):
        pass
    without = {"Origin": f"https://{HUB}"}
    another_websites = {"Origin": "https://evil.example", "Cookie": cookie}
    for headers in (without, another_websites):
        with pytest.raises(InvalidStatus, match="403"), socket_at_hub(server, **headers):
            pass


@contextmanager
def socket_at_hub(server: ServerHandle, **headers: str) -> Iterator[None]:
    """Open the WebSocket as a proxy does that passes on the Host header."""
    address = urlsplit(server.url)
    assert address.hostname
    assert address.port
    with (
        socket.create_connection((address.hostname, address.port)) as raw,
        connect(f"ws://{HUB}/ws", sock=raw, additional_headers=headers),
    ):
        yield


def get(server: ServerHandle, path: str, **headers: str) -> http.client.HTTPResponse:
    asked = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=WAIT_S)
    asked.request("GET", path, headers=headers)
    answer = asked.getresponse()
    answer.read()
    asked.close()
    return answer
