"""Access control for the page's server: a request needs the token, a host name of this machine, and a body of limited
size; a request that changes something must come from a page of this server.

The token is sent once, in the address or in a form, and is then kept in a cookie that scripts cannot read and other
sites' pages do not send. Other host names are refused, so that no site can point its name here (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import secrets
import socket
from contextlib import suppress
from importlib.resources import files
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PACKAGE = "seediff.look"
"""The package that holds the page's files."""
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
"""Headers of every response."""
TOKEN_FORM = 1 << 16
"""Maximum bytes of the form with the token, which anybody may send."""
LARGEST = 32 << 20
"""Maximum bytes of any other body, such as a packed label map. A painted map of a hundred megapixels has a tenth."""
ENTERED = (
    '<!doctype html><html lang="en"><title>seediff look</title><link rel="icon" href="/static/icon.svg">'
    '<meta http-equiv="refresh" content="0;url=/"><a href="/">Enter</a></html>'
)
OPEN = ("/static/look.css", "/static/icon.svg")
"""Paths that need no token, because the form that asks for the token uses them."""


class Gate:
    """Passes permitted requests on to `app`, an ASGI application. token: the secret that lets a browser in. host, port:
    where the server listens."""

    def __init__(self, app: ASGIApp, *, token: str, host: str, port: int) -> None:
        self.app = app
        self.token = token
        self.host = host
        self.once = secrets.token_urlsafe(24)
        """A secret that is accepted a single time in place of the token. `seediff look` starts a browser with an
        address that contains it, and everybody on the machine can read that address."""
        # Browsers share cookies between a host's ports, so each server needs its own.
        self.cookie = f"seediff_look_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return None
        headers = Headers(scope=scope)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        with suppress(ClientDisconnect):  # the client left while it sent the body: nobody waits for the answer
            answer = self._refuse(scope, headers) or await self._admit(scope, receive) or self.app
            await answer(scope, receive, sending)

    def _refuse(self, scope: Scope, headers: Headers) -> Response | None:
        """The response to a forbidden request, for example from another site's page; None for a permitted one. This
        does not check the token."""
        if len(headers.getlist("host")) != 1 or not allowed_host(headers["host"], self.host):
            return PlainTextResponse("This name is not the server's; use the address that `seediff look` printed.", 421)
        length = headers.get("content-length", "0")
        most = TOKEN_FORM if scope["path"] == "/token" else LARGEST
        if "transfer-encoding" in headers or not re.fullmatch(r"\d{1,15}", length) or int(length) > most:
            return PlainTextResponse(
                f"The body must have a length, of at most {most} bytes.", 413, {"connection": "close"}
            )
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return PlainTextResponse("Only GET and POST are allowed.", 405)
        from_this_page = headers.get("origin") == f"{scope['scheme']}://{headers['host']}"
        if scope["method"] == "POST" and not (
            from_this_page and headers.get("sec-fetch-site", "same-origin") == "same-origin"
        ):
            return PlainTextResponse("This request comes from another page.", 403)
        return None

    async def _admit(self, scope: Scope, receive: Receive) -> Response | None:
        """The response to a request that has no cookie, or has the token in its address; None for a request that may
        pass."""
        request = Request(scope, receive)
        if _same(request.cookies.get(self.cookie, ""), self.token) or scope["path"] in OPEN:
            if scope["path"] == "/" and "token" in request.query_params:
                return RedirectResponse("/", 303)
            return None
        asked = scope["method"], scope["path"]
        if asked == ("GET", "/"):
            given = request.query_params.get("token")
        elif asked == ("POST", "/token"):
            given = ""
            with suppress(ValueError):  # more fields than the form has
                form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=4)
                given = form.get("token", [""])[0].strip()
        else:
            return PlainTextResponse("The token is missing; open the address that `seediff look` printed.", 401)
        if not self._accept(given or ""):
            text = files(PACKAGE).joinpath("static/token.html").read_text(encoding="utf-8")
            message = "" if given is None else "Wrong token."
            return HTMLResponse(text.replace("{message}", message), 401)
        # No redirect: a browser that comes from another site would follow it without the cookie.
        answer = HTMLResponse(ENTERED)
        answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        return answer

    def _accept(self, given: str) -> bool:
        """Whether a text is the token or `once`. Then `once` is replaced, so that it is never accepted again."""
        if not _same(given, self.once):
            return _same(given, self.token)
        self.once = secrets.token_urlsafe(24)
        return True


def allowed_host(header: str, host: str) -> bool:
    """Whether a Host header names this machine, with any port, because tunnels have their own. header: for example
    `localhost:8765`. host: the address at which the server listens. For a loopback address, only the names of the
    loopback are allowed; otherwise also IP addresses and the machine's own names."""
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+)(?::\d{1,5})?", header, re.ASCII)
    if not match:
        return False
    name = match[1].strip("[]").lower()
    if name in ("localhost", "127.0.0.1", "::1"):
        return True
    if is_loopback(host):
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name in [own.lower() for own in (host, socket.gethostname(), socket.getfqdn())]
    return True


def is_loopback(host: str) -> bool:
    """Whether an address is a loopback address, which other machines cannot reach."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())
