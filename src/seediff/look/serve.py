"""The server of `seediff look`, and its immediate end at Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from ..errors import UserError
from ..files.outputs import name_page
from .app import import_attention, make_app
from .gate import Gate, is_loopback
from .store import Store

LOCAL = "127.0.0.1"
PATIENCE = 30.0
"""Seconds in which the header and the body of a request must arrive."""
MOST_OPEN = 64
"""Maximum number of connections; a browser opens six for a page, and a process may have 256 open files."""
UNFINISHED = (h11.IDLE, h11.SEND_BODY)
"""States of clients that have not sent a whole request."""
AT_ONCE = 32
"""Maximum number of connections that are accepted before those beyond MOST_OPEN are closed."""


def _open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens at an address of this machine. host: the address. port: 0 for any free port. Raises
    UserError for an unusable port or host."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    dual_stack = host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, port), family=family, backlog=128, dualstack_ipv6=dual_stack)
    except (OSError, TypeError, UnicodeError) as error:  # impossible names of hosts raise the last two
        problem = f"{port} cannot be used at {host} ({error.args[-1]})"
        raise UserError("port", problem, "name another port or host, or none") from error


def _unless_cancelled(record: logging.LogRecord) -> bool:
    """Whether to log a record. A record about a cancelled task is not logged: answers may be under way when the server
    ends."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


class Connection(H11Protocol):
    """A connection that is closed if a request takes longer than PATIENCE to arrive. If more than MOST_OPEN connections
    are open, the one whose request has been on its way for the longest is closed, so that nobody can keep others
    away."""

    limit: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.limit = self.loop.call_later(PATIENCE, transport.abort)
        there: list[Any] = [each for each in self.connections if not each.transport.is_closing()]
        if len(there) > MOST_OPEN:
            waiting = [each for each in there if each.conn.their_state in UNFINISHED]
            min(waiting, key=lambda each: each.limit.when()).transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state not in UNFINISHED:
            self.limit.cancel()
        elif self.limit.cancelled():
            self.limit = self.loop.call_later(PATIENCE, self.transport.abort)


class Server(uvicorn.Server):
    """A server that ends at the first SIGINT or SIGTERM, even if clients are connected."""

    interrupted = False
    """Whether SIGINT ended it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Replaces uvicorn's method, which would wait for clients, and would raise the signal again at the end."""
        logging.getLogger("uvicorn.error").addFilter(_unless_cancelled)
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def end(number: int, frame: Any) -> None:
            self.interrupted = number == signal.SIGINT
            self.should_exit = self.force_exit = True

        before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@dataclass(frozen=True)
class Opened:
    """An open set, and the server that shows it."""

    store: Store
    server: Server
    listening: socket.socket
    """The server's socket, which already accepts connections."""
    url: str
    """The address of the page. It contains the token if only this machine can reach it; otherwise the page asks for the
    token."""
    token: str
    once: str
    """An address with a secret that is accepted a single time, for the browser that `seediff look` starts."""

    def run(self) -> None:
        """Answer requests until the server is stopped."""
        self.server.run(sockets=[self.listening])


@contextmanager
def serve(path: Path, *, by: str, host: str = LOCAL, port: int = 0) -> Iterator[Opened]:
    """Opens a dataset and makes a server that shows it. `Opened.run` starts the server. path: the dataset's folder. by:
    the reviewer's name. host, port: where to listen. Raises UserError."""
    store = Store(path, by=by)
    try:
        with _open_socket(host, port) as listening:
            token, bound_port = secrets.token_urlsafe(24), listening.getsockname()[1]
            app = Gate(make_app(store), token=token, host=host, port=bound_port)
            config = uvicorn.Config(
                app,
                http=Connection,
                backlog=AT_ONCE,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",  # its warnings are about malformed requests
                access_log=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=1,
            )
            name = f"[{host}]" if ":" in host else host
            address = f"http://{name}:{bound_port}/"
            url = f"{address}?token={token}" if is_loopback(host) else address
            if not store.read_only:
                name_page(path, address)
            soon = threading.Timer(1.5, import_attention)  # an earlier import would delay the first sample
            soon.daemon = True
            soon.start()
            yield Opened(store, Server(config), listening, url, token, f"{address}?token={app.once}")
    finally:
        store.close()
