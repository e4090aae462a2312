"""The process around the service: its port, its signals, its end."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ..core.errors import UserError
from .gauges import Gauges
from .serve import create_app
from .served import Limits, Served, log_line
from .unsure import UnsureLog

GRACE_SECONDS = 30  # to finish what was asked before it was told to stop
UNREAD_SECONDS = 10  # meanwhile, for whoever takes nothing of his answer
# A connection may wait so long for a request, head and all: longer than what stands before the service keeps
# its own open (usually 60), or it would send a request just when it is closed here.
IDLE_SECONDS = 75
BACKLOG = 2048
# Of one connection, before any token is looked at; the parser itself takes whatever comes. Reads count whole,
# and one brings up to 256 KiB.
MOST_HEAD_BYTES = 400_000
MOST_HEADERS = 200
MOST_PIPELINED = 100  # requests sent without waiting for an answer
CONNECTIONS = 65_536  # that may be open; many systems let a process have 1,024 unless it asks for more


def run(
    folders: Mapping[str, Path],
    *,
    host: str,
    port: int,
    token: str | None,
    watch: bool,
    unsure: float,
    log_unsure: Path | None,
    log_texts: bool,
    quiet: bool,
    limits: Limits,
) -> None:
    """Serve until SIGTERM or Ctrl-C, and finish what was begun. SIGHUP loads the folders anew."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until they are loaded: it would end the process
    _allow_connections()
    listening = _listen(host, port)
    gauges = Gauges()
    models = {
        name: Served(
            folder, name=name, limits=limits, unsure=unsure, gauges=gauges, log=log_line,
            unsure_log=_unsure_log(log_unsure, name if len(folders) > 1 else None),
        )
        for name, folder in folders.items()
    }  # fmt: skip
    gate = create_app(
        models, limits=limits, gauges=gauges, log=log_line, token=token, log_texts=log_texts,
        watch_folders=watch,
    )  # fmt: skip
    address = _address(host, listening)
    if not quiet:
        for line in _welcome(models, address, host, token):
            print(line, file=sys.stderr, flush=True)
    log_line("started", address=address, models={name: m.loaded.version for name, m in models.items()})
    config = uvicorn.Config(
        gate, http=_Connection, access_log=False, log_config=None, server_header=False, backlog=BACKLOG,
        timeout_graceful_shutdown=GRACE_SECONDS, timeout_keep_alive=IDLE_SECONDS,
    )  # fmt: skip
    asyncio.run(_Server(config, models).serve(sockets=[listening]))
    log_line("stopped")


class _Connection(HttpToolsProtocol):
    """Closes where no request comes in time, its head whole; a body has a time of its own, in `gate`.

    uvicorn's own clock starts after the first answer and stops at the next byte: whoever sends nothing, or a
    head byte by byte, would stay for ever. Closes, too, where a head has no end, or requests pile up.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._head_bytes = 0  # since the last piece of a body: those of a trailer, too
        self._wait_for_request()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._head_bytes += len(data)
        if self._head_bytes > MOST_HEAD_BYTES:
            self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > MOST_HEADERS:
            raise ValueError("too many headers")  # the parser stops at once; its sender hears 400

    def on_headers_complete(self) -> None:
        self._waiting.cancel()
        super().on_headers_complete()
        if len(self.pipeline) > MOST_PIPELINED:
            raise ValueError("too many requests at a time")

    def on_body(self, body: bytes) -> None:
        self._head_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._head_bytes = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._waiting.cancel()
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        self._waiting.cancel()
        super().connection_lost(exc)

    def _wait_for_request(self) -> None:
        self._waiting = self.loop.call_later(self.timeout_keep_alive, self._close_unasked)

    def _close_unasked(self) -> None:
        if self.cycle is None or self.cycle.response_complete:  # else it is at work on one that came early
            self.transport.close()


class _Server(uvicorn.Server):
    """Takes the signals itself: uvicorn would end the process by the signal, not with exit code 0."""

    def __init__(self, config: uvicorn.Config, models: Mapping[str, Served]) -> None:
        super().__init__(config)
        self.models = models
        self._reloads: set[asyncio.Task[None]] = set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT, at once when told twice; reload on SIGHUP."""
        loop = asyncio.get_running_loop()
        for stop in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(stop, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what was begun, but wait for nobody who does not take it."""
        leaving = asyncio.create_task(self._leave_unread())
        await super().shutdown(sockets)
        leaving.cancel()
        for connection in self._unread():  # what still has to be told there would wait for ever
            connection.transport.abort()

    async def _leave_unread(self) -> None:
        before: dict[Any, int] = {}
        while True:
            unread = self._unread()
            for connection, size in unread.items():
                if before.get(connection) == size:
                    connection.transport.abort()
            before = unread
            await asyncio.sleep(UNREAD_SECONDS)

    def _unread(self) -> dict[Any, int]:
        """By connection, the bytes that lie here until its client takes more of them."""
        sizes = {each: each.transport.get_write_buffer_size() for each in self.server_state.connections}
        return {connection: size for connection, size in sizes.items() if size}

    def _stop(self) -> None:
        log_line("stopping")
        self.force_exit, self.should_exit = self.should_exit, True

    def _reload(self) -> None:
        for served in self.models.values():
            task = asyncio.get_running_loop().create_task(served.reload())
            self._reloads.add(task)
            task.add_done_callback(self._reloads.discard)


def _allow_connections() -> None:
    """With fewer, whoever comes while all are open would hang until he gives up, and not hear 503."""
    least, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS if most == resource.RLIM_INFINITY else min(most, CONNECTIONS)
    if resource.RLIM_INFINITY != least < wanted:
        with contextlib.suppress(ValueError, OSError):  # some systems allow less than they say
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _listen(host: str, port: int) -> socket.socket:
    """A socket that holds the port, before the models are loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends small packets at once only where the protocol is named; else each answer takes 40 ms more
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)
        return listening
    except OSError as error:
        listening.close()
        fix = f"Choose another port: --port {port + 1 if port < 65535 else 8000}"
        raise UserError(f"Cannot listen at {host}:{port}: {error.strerror or error}.", fix) from None


def _address(host: str, listening: socket.socket) -> str:
    port = listening.getsockname()[1]
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}"


def _welcome(models: Mapping[str, Served], address: str, host: str, token: str | None) -> Iterator[str]:
    yield f"Serving {', '.join(models)} at {address} (Ctrl-C stops it)."
    if len(models) > 1:
        for name in models:
            yield f"  {name}: {address}/models/{quote(name)}/predict"
    if token is None and not _is_this_machine(host):
        yield (
            "Careful: whoever reaches this machine can use it. Ask for a token: --token-file FILE; "
            "and put something that speaks HTTPS before it."
        )


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unsure_log(file: Path | None, name: str | None) -> UnsureLog | None:
    """The table for one model; of several, each has its own, with its name in the file's."""
    if file is None:
        return None
    return UnsureLog(file if name is None else file.with_stem(f"{file.stem}-{name}"))
