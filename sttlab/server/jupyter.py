"""Links to a server through the Jupyter server whose kernel started it."""

from __future__ import annotations

import html
import json
import os
import secrets
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from sttlab.server.gate import is_loopback

ANSWER_S = 3.0  # longest wait for the Jupyter server, which runs on the same machine


@dataclass(frozen=True)
class Proxy:
    """A jupyter-server-proxy.

    Attributes
    ----------
    path : str
        Path under which it serves the ports of this machine, such as ``/user/anna/proxy/``. The
        host is whatever name the browser has for Jupyter.
    token : str
        Token that `Gate` asks of requests through the proxy, since they come under a host name
        that it doesn't know.
    """

    path: str
    token: str

    def link(self, port: int) -> str:
        """Return the address of the page, relative to Jupyter's host."""
        return f"{self.path}{port}/?token={self.token}"


def find_proxy(token: str | None = None) -> Proxy | None:
    """Find the proxy of the Jupyter server that runs this process.

    Sends it a request, so blocks for `ANSWER_S` at most.

    Parameters
    ----------
    token : str, optional
        Token to keep, so that open pages reconnect; without it, a new one is made.

    Returns
    -------
    Proxy or None
        None if no Jupyter server runs this process, or it has no jupyter-server-proxy.
    """
    server = _find_server()
    if server is None:
        return None
    url = urlsplit(server["url"])
    try:
        status = _ask(server, url, f"{url.path}server-proxy/servers-info")
    except (OSError, HTTPException):
        return None
    if status == HTTPStatus.NOT_FOUND:
        return None
    return Proxy(f"{url.path}proxy/", token or secrets.token_urlsafe(16))


def _find_server() -> dict[str, Any] | None:
    """Read the runtime file of the Jupyter server that started this kernel."""
    try:
        from jupyter_core.paths import jupyter_runtime_dir
    except ImportError:
        return None
    # The variable is right even if a kernel is wrapped. On Windows it is not a process id.
    for process_id in (os.environ.get("JPY_PARENT_PID"), os.getppid()):
        path = Path(jupyter_runtime_dir(), f"jpserver-{process_id}.json")
        try:
            server: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return server
    return None


def _ask(server: dict[str, Any], url: SplitResult, path: str) -> int:
    if url.scheme == "https":
        # The certificate is for the server's public name, not for the address asked here.
        unchecked = ssl.create_default_context()
        unchecked.check_hostname, unchecked.verify_mode = False, ssl.CERT_NONE
        asked: HTTPConnection = HTTPSConnection(url.netloc, timeout=ANSWER_S, context=unchecked)
    else:
        asked = HTTPConnection(url.netloc, timeout=ANSWER_S)
    token = server.get("token")
    try:
        asked.request("GET", path, headers={"Authorization": f"token {token}"} if token else {})
        return asked.getresponse().status
    finally:
        asked.close()


def links_html(link: str, proxy: Proxy | None) -> str:
    """Write the links to the page as HTML, with how to reach it from another machine."""
    direct, address = _link(link, link), urlsplit(link)
    port = address.port or 0
    if proxy:
        through = _link(proxy.link(port), "through Jupyter")
        if "JUPYTERHUB_SERVICE_PREFIX" in os.environ:
            return f"{through}; on the kernel's own machine {direct}"
        return f"{direct}; if the kernel runs on another machine, {through}"
    if not is_loopback(address.hostname or ""):
        return direct
    return (
        f"{direct}<br>If the kernel runs on another machine than this browser: install "
        "jupyter-server-proxy where Jupyter runs, restart it, and launch again; or open a tunnel, "
        f"<code>ssh -L {port}:{address.netloc} MACHINE</code>, and the link works."
    )


def _link(url: str, text: str) -> str:
    href, text = html.escape(url), html.escape(text)
    return f'<a href="{href}" target="_blank" rel="noopener">{text}</a>'
