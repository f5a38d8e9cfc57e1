"""Access control: a page of another website is refused, even in this machine's own browser.

Other machines need the server's token, which comes in the link and stays in a cookie. So does a
request under a name that isn't this server's, such as one through Jupyter.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from sttlab.errors import ConfigError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

log = logging.getLogger("uvicorn.error")  # which shows under a plain `uvicorn sttlab.server:app`

TOKEN_VARIABLE = "STTLAB_TOKEN"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
HEADERS = (
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; media-src 'self' blob:; worker-src 'self'; base-uri 'none'; "
        b"form-action 'none'; frame-ancestors 'self'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)

COOKIE_S = 7 * 24 * 3600
SHORTEST_TOKEN = 16

NOT_OURS = (
    "This server answers only its own pages, at its own address. Where a proxy gives it another "
    "name: sttlab serve --allow-host NAME --allow-origin https://NAME"
)
NO_TOKEN = (
    "This server wants its token: open the link that it gave when it started. A script sends it as "
    "?token=... or in the header Authorization: Bearer ..."
)
ONLY_HERE = (
    "This server has no token, and therefore answers only programs on its own machine. Start it "
    f"with `sttlab serve --host 0.0.0.0`, which makes one, or set {TOKEN_VARIABLE}."
)


def is_loopback(host: str) -> bool:
    """Whether an address, or localhost, can be reached from its own machine only."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def own_name(host: str) -> list[str]:
    """Return the host name that a server listens at, or none for an address: `Gate` knows those."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return [host] if host else []
    return []


def choose_token(host: str, token: str | None = None) -> str | None:
    """Return the token of a server at `host`, or None if only its own machine can reach it.

    It is `token`, else what the environment variable STTLAB_TOKEN holds, else a new one.

    Raises
    ------
    ConfigError
        If `token` or the variable is too short, or has characters that a link can't hold.
    """
    token = os.environ.get(TOKEN_VARIABLE) or None if token is None else token
    if token is None:
        return None if is_loopback(host) else secrets.token_urlsafe(16)
    if not re.fullmatch(rf"[A-Za-z0-9_.~-]{{{SHORTEST_TOKEN},}}", token):
        raise ConfigError(
            f"a token needs {SHORTEST_TOKEN} characters or more, of A-Z, a-z, 0-9, - and _; "
            "python -c 'import secrets; print(secrets.token_urlsafe())' makes one"
        )
    return token


def check_hosts(hosts: Iterable[str]) -> tuple[str, ...]:
    """Check further names of a server, without port. Raises ConfigError if one is not valid."""
    if isinstance(hosts, str):
        raise ConfigError(f"give names in a list: [{hosts!r}]")
    return tuple(_check(host, r"[^/:*\s]+", "name, such as hub.example") for host in hosts)


def check_origins(origins: Iterable[str]) -> tuple[str, ...]:
    """Check further origins. Raises ConfigError if one is not valid."""
    what = "origin, such as https://hub.example"
    return tuple(_check(o.rstrip("/"), r"https?://[^/*\s]+", what) for o in origins)


def _check(text: str, pattern: str, what: str) -> str:
    if not re.fullmatch(pattern, text):
        raise ConfigError(f"{text!r} is no {what}")
    return text.lower()


class Gate:
    """Middleware that checks Host, Origin and token before all else sees a request or a socket.

    Against DNS rebinding, a request without the token must have as its Host an address, localhost
    or one of `hosts`. An Origin, where there is one, must be that of the page's own server or one
    of `origins`; browsers send it with every WebSocket, scripts don't.

    Parameters
    ----------
    app : ASGI application
    hosts, origins : iterable of str
        Further names and origins of this server, from `check_hosts` and `check_origins`.
    token : str, optional
        What every request must have: in the query (``?token=``), in a cookie, or as a bearer
        token. Without one, only this machine is answered.
    open_here : bool
        Whether programs on this machine need no token, under a name that is known.
    """

    def __init__(
        self,
        app: App,
        hosts: Iterable[str] = (),
        origins: Iterable[str] = (),
        token: str | None = None,
        open_here: bool = False,
    ) -> None:
        self._app = app
        self._token = token
        self._open_here = open_here or token is None
        self._cookie = f"sttlab-{hashlib.sha256((token or '').encode()).hexdigest()[:8]}"
        self._hosts = set(hosts)
        self._origins = set(origins)
        self._told = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, or answer 403."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        given = _take_token(scope)
        why_not = self._why_not(scope, headers, given)
        if why_not:
            await _refuse(scope, send, why_not)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        elif self._token and _same(given, self._token) and _wants_page(scope, headers):
            await self._redirect(scope, send)
        else:
            await self._app(scope, receive, _with_headers(send))

    def _why_not(self, scope: Scope, headers: dict[str, str], given: str) -> str | None:
        host = headers.get("host", "").lower()
        origin = headers.get("origin", "").lower()
        harmless = scope["type"] == "http" and scope["method"] in SAFE_METHODS
        ours = origin in (f"http://{host}", f"https://{host}") or origin in self._origins
        if origin and not harmless and not ours:
            return NOT_OURS
        tokens = (given, self._from_cookie(headers), _from_bearer(headers))
        if self._token and any(_same(token, self._token) for token in tokens):
            return None
        if not self._knows(host):
            return NOT_OURS
        client, _ = scope.get("client") or ("localhost", 0)
        if self._open_here and is_loopback(client):
            return None
        if self._token:
            return NO_TOKEN
        if not self._told:
            self._told = True
            log.warning("%s was turned away: %s", client, ONLY_HERE)
        return ONLY_HERE

    def _from_cookie(self, headers: dict[str, str]) -> str:
        """Find this server's cookie; other servers of this machine may have set odd ones."""
        cookies = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
        return next((value for name, _, value in cookies if name == self._cookie), "")

    async def _redirect(self, scope: Scope, send: Send) -> None:
        """Move the token from the address bar into a cookie."""
        query = scope["query_string"].decode("latin-1")
        page = scope["path"].rsplit("/", 1)[-1]
        target = f"./{quote(page)}{'?' * bool(query)}{query}"
        secure = "; Secure" if scope["scheme"] == "https" else ""
        cookie = f"{self._cookie}={self._token}; Max-Age={COOKIE_S}; HttpOnly; SameSite=Lax{secure}"
        headers = [(b"location", target.encode()), (b"set-cookie", cookie.encode())]
        await _answer(send, 303, "", headers)

    def _knows(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name == "localhost" or name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _wants_page(scope: Scope, headers: dict[str, str]) -> bool:
    return scope["method"] in ("GET", "HEAD") and "text/html" in headers.get("accept", "")


def _take_token(scope: Scope) -> str:
    """Take the token out of the query, so that no log shows it."""
    text: str = scope["query_string"].decode("latin-1")
    query = parse_qsl(text, keep_blank_values=True)
    rest = [(name, value) for name, value in query if name != "token"]
    if len(rest) == len(query):
        return ""
    scope["query_string"] = urlencode(rest).encode("latin-1")
    return dict(query)["token"]


def _from_bearer(headers: dict[str, str]) -> str:
    kind, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if kind.lower() == "bearer" else ""


def _same(one: str, other: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(one.encode(), other.encode())


async def _refuse(scope: Scope, send: Send, why: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    if scope["type"] == "http":
        await _answer(send, 403, why + "\n", headers)
    elif "websocket.http.response" in scope.get("extensions", {}):
        await _answer(send, 403, why + "\n", headers, kind="websocket.http.response")
    else:
        await send({"type": "websocket.close", "code": 1008})  # before accept: HTTP 403


async def _answer(
    send: Send,
    status: int,
    text: str,
    headers: list[tuple[bytes, bytes]],
    kind: str = "http.response",
) -> None:
    body = text.encode()
    headers = [*headers, (b"content-length", b"%d" % len(body)), *HEADERS]
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})


def _with_headers(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *HEADERS]
        await send(message)

    return sending
