"""The server of `seediff look`, of the standard library, for one person on this machine.

A request must name this machine by `localhost` or an IP address, so that no site can point its name here (DNS
rebinding), and have the token, which the printed address brings and a cookie keeps. A request that changes something
must come from a page of this server.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import re
import secrets
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import import_module
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints
from urllib.parse import parse_qsl, urlsplit

from ..errors import UserError, system_reason
from ..files.outputs import name_page
from ..files.reading import Json, fit, parse_json
from . import answers
from .answers import Missing, Response
from .store import Store

if TYPE_CHECKING:
    from ..evaluate.evaluation import Evaluation

LOCAL = "127.0.0.1"
STATIC = files("seediff.look").joinpath("static")
KINDS = {"html": "text/html; charset=utf-8", "js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"
HEADERS = {"content-security-policy": POLICY, "x-content-type-options": "nosniff", "cache-control": "no-store"}
LARGEST = 32 << 20
"""Maximum bytes of a body, such as a packed label map. A painted map of a hundred megapixels has a tenth."""
ENTERED = b'<!doctype html><meta http-equiv="refresh" content="0;url=/"><a href="/">Enter</a>'
ANSWERS = {
    "GET set": answers.describe,
    "GET samples": answers.samples,
    "POST classes": answers.add_class,
    "POST act": answers.act,
    "POST masks": "remake",
    "GET sample": answers.sample,
    "GET thumb": answers.thumb,
    "GET image": answers.image,
    "GET predicted": answers.predicted,
    "GET labels": answers.labels,
    "POST labels": answers.paint,
    "GET pieces": answers.pieces,
    "GET attention": "about",
    "GET words": "words",
    "GET attends": "attends",
    "GET steps": "steps",
    "GET segments": "segments",
    "POST capture": "capture",
    "GET tuned": "preview",
}
"""Method and last part of the address → what answers: a function of `answers`, or the name of one in
`attention_answers`, which imports torch."""
SLOW = threading.Lock()
"""Locked while one of IN_TURN runs."""
IN_TURN = ("words", "steps", "segments", "capture")


class Handler(BaseHTTPRequestHandler):
    """Answers requests; each connection has a thread."""

    protocol_version, timeout = "HTTP/1.1", 30.0
    server: Server

    def do_GET(self) -> None:
        try:
            response = self.answer()
        except Missing as error:
            response = refusal(404, str(error))
        except UserError as error:
            response = refusal(400, str(error))
        except OSError as error:  # most often, the disk is full
            response = refusal(507, f"it could not be saved: {system_reason(error)}")
        except Exception as error:
            traceback.print_exc()
            response = refusal(500, f"failed: {error}")
        self.send_response(response.status)
        for name, value in {**HEADERS, "content-type": response.kind, **response.headers}.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(response.body)))
        self.end_headers()
        self.wfile.write(response.body)

    do_POST = do_GET

    def log_message(self, *args: Any) -> None:
        """Nothing is logged."""

    def answer(self) -> Response:
        length, host = self.headers.get("content-length", "0"), self.headers.get("host", "")
        if "transfer-encoding" in self.headers or not re.fullmatch(r"\d{1,9}", length) or int(length) > LARGEST:
            self.close_connection = True
            return refusal(413, f"the body must have a length, of at most {LARGEST} bytes")
        body, address = self.rfile.read(int(length)), urlsplit(self.path)
        query, path = dict(parse_qsl(address.query)), address.path
        if not is_here(host):
            return refusal(421, "this name is not the server's; use the address that `seediff look` printed")
        if self.command == "POST" and self.headers.get("Origin") != f"http://{host}":
            return refusal(403, "this request comes from another page")
        if path == "/" and same(query.get("token", ""), self.server.token):
            # No redirect: a browser that comes from another site would follow it without the cookie.
            kept = f"{self.server.cookie}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
            return Response(ENTERED, KINDS["html"], {"set-cookie": kept})
        pairs = self.headers.get("cookie", "").split(";")
        cookies = {name.strip(): value for name, _, value in (pair.partition("=") for pair in pairs)}
        if not same(cookies.get(self.server.cookie, ""), self.server.token):
            return refusal(401, "the token is missing; open the address that `seediff look` printed")
        if path.startswith("/api/"):
            return self.ask(path, query, body)
        name = re.fullmatch(r"/static/(\w+\.(?:js|css|svg))", path)
        if self.command != "GET" or not (name or path == "/"):
            raise Missing("there is no such page")
        file = STATIC.joinpath(name[1] if name else "index.html")
        return Response(file.read_bytes(), KINDS[file.name.rpartition(".")[2]])

    def ask(self, path: str, query: Json, body: bytes) -> Response:
        """What one of ANSWERS answers. Parameters are in the path, and in the JSON body of a POST request or else in
        the address; the body of `Paint` is pixels. Raises UserError."""
        parts = re.fullmatch(r"/api/(?:samples/(?P<number>\d{1,9}))?/?(?P<name>\w*)", path)
        name = parts and (parts["name"] or "sample")
        function: Any = ANSWERS.get(f"{self.command} {name}")
        if parts is None or function is None:
            raise Missing("there is no such page")
        if isinstance(function, str):
            function = getattr(import_attention(), function)
        kind = get_type_hints(function)["request"]
        strict = self.command == "POST" and kind is not answers.Paint
        values: Json = parse_json(body, Json, "the request") if strict else {**query, "pixels": body}
        if parts["number"]:
            values["number"] = int(parts["number"])
        request = fit(values, kind, "the request", strict=strict)
        if name in IN_TURN:
            with SLOW:
                made = function(self.server.store, request)
        else:
            made = function(self.server.store, request)
        return made if isinstance(made, Response) else json_response(made)


def json_response(values: Any, status: int = 200) -> Response:
    return Response(json.dumps(values, ensure_ascii=False).encode(), "application/json", status=status)


def refusal(status: int, why: str) -> Response:
    return json_response({"error": why}, status)


def is_here(header: str) -> bool:
    """Whether a Host header names this machine: by `localhost` or an IP address, with any port, because tunnels have
    their own."""
    name = re.sub(r":\d{1,5}$", "", header).strip("[]")
    try:
        return name == "localhost" or bool(ipaddress.ip_address(name))
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Whether an address is a loopback address, which other machines cannot reach."""
    return host in ("localhost", "127.0.0.1", "::1")


def same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())


def import_attention() -> Any:
    return import_module(".attention_answers", __package__)


class Server(ThreadingHTTPServer):
    """A server that shows a store. host, port: where it listens. Raises UserError for an unusable port or host."""

    daemon_threads = True

    def __init__(self, store: Store, host: str, port: int) -> None:
        self.store, self.token = store, secrets.token_urlsafe(24)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except (OSError, UnicodeError) as error:
            problem = f"{port} cannot be used at {host} ({error.args[-1]})"
            raise UserError("port", problem, "name another port or host, or none") from error
        # Browsers share cookies between a host's ports, so each server needs its own.
        self.cookie = f"seediff_look_{self.server_port}"
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self.server_port}/"
        self.url = f"{self.address}?token={self.token}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """The client has left: `Handler` answers all other errors."""


@contextmanager
def serve(
    path: Path, *, by: str, host: str = LOCAL, port: int = 0, against: Evaluation | None = None
) -> Iterator[Server]:
    """Opens a dataset and yields a server that shows it: `serve_forever` starts it. path: the dataset's folder. by: the
    reviewer's name. host, port: where to listen. against: predictions to show beside the masks. Raises UserError."""
    store = Store(path, by=by, against=against)
    try:
        with Server(store, host, port) as server:
            if not store.read_only:
                name_page(path, server.address)
            soon = threading.Timer(1.5, import_attention)  # an earlier import would delay the first sample
            soon.daemon = True
            soon.start()
            yield server
    finally:
        store.close()
