"""What every request passes: a number of its own, the token, the size of its body, a line in the log."""

from __future__ import annotations

import asyncio
import hmac
import re
import secrets
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .gauges import Gauges
from .problems import MEDIA_TYPE, Refused, our_fault, problem_body
from .served import Limits, Log

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
OPEN_PATHS = ("/", "/watch", "/docs", "/openapi.json", "/health", "/ready")  # these need no token
STATIC = "/static/"
CLIENT_GONE = 499  # for the log and the figures only: nobody is there to get it
BODY_SECONDS = 60.0  # for a body to come
MOST_HELD_BODIES = 16  # of the greatest size, all requests together
DRAINED_BODIES = 4  # of a body too large this much is read and dropped, so that its sender hears why
POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
)
HEADERS = [
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
]


class Gate:
    """The app behind its door. The scope gets `request_id`, and `told` for what handlers add to the log."""

    def __init__(self, app: App, *, limits: Limits, token: str | None, gauges: Gauges, log: Log) -> None:
        self.app, self.limits, self.gauges, self.log = app, limits, gauges, log
        self.token = token.encode() if token else None
        self.held = 0  # bytes of bodies being read or answered
        self.inside = 0  # requests with a body that are being answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        visit = _Visit(scope, send)
        try:
            await self._serve(scope, receive, visit)
        except Refused as refused:
            await visit.refuse(refused)
        except asyncio.CancelledError:  # the service ends, and has waited as long as it may
            if not visit.status:
                await visit.refuse(_busy("The service is stopping."))
        except Exception as error:
            scope["told"]["fault"] = _where(error)
            if not visit.status:
                await visit.refuse(our_fault())
        finally:
            self._record(scope, visit)

    async def _serve(self, scope: Scope, receive: Receive, visit: _Visit) -> None:
        self._check_token(scope)
        if scope["method"] != "POST":
            await self.app(scope, receive, visit.send)
            return
        body = bytearray()
        try:
            if await self._read_in_time(scope, receive, body):
                await self._let_in(scope, bytes(body), receive, visit)
            else:
                visit.status = CLIENT_GONE
        finally:
            self.held -= len(body)

    async def _let_in(self, scope: Scope, body: bytes, receive: Receive, visit: _Visit) -> None:
        """Into the app, unless more are in there than its queue takes: to refuse them here is cheap."""
        if self.inside >= self.limits.most_waiting:
            raise _busy("Too many requests are waiting.")
        self.inside += 1
        work = asyncio.ensure_future(self.app(scope, _once(body, receive), visit.send))
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
            if work.done() or visit.status:
                await work
            else:
                visit.status = CLIENT_GONE  # nobody waits for it: what was not begun is not done
        finally:
            work.cancel()
            gone.cancel()
            self.inside -= 1

    async def _read_in_time(self, scope: Scope, receive: Receive, body: bytearray) -> bool:
        """As `_read`, but a sender who stalls does not hold his place for ever."""
        try:
            async with asyncio.timeout(BODY_SECONDS):
                return await self._read(scope, receive, body)
        except TimeoutError:
            raise Refused(
                408,
                f"The body did not come within {BODY_SECONDS:.0f} seconds.",
                "Send fewer texts at a time.",
                headers={"Connection": "close"},
            ) from None

    async def _read(self, scope: Scope, receive: Receive, body: bytearray) -> bool:
        """Fill ``body``, False where the client goes before its end. Raises Refused where it is too large."""
        most, came = self.limits.most_bytes, 0
        declared = _header(scope, b"content-length")
        whole = int(declared) if declared.isdigit() else 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return False
            chunk, more = message.get("body", b""), message.get("more_body", False)
            came += len(chunk)
            if max(came, whole) <= most:
                body += chunk
                self.held += len(chunk)
            elif not more or max(came, whole) > DRAINED_BODIES * most:
                raise self._too_large()
            if self.held > MOST_HELD_BODIES * most:
                raise _busy("Too much is being read.")
            if not more:
                return True

    def _too_large(self) -> Refused:
        return Refused(
            413,
            f"The body is larger than {self.limits.most_bytes:,} bytes.",
            "Send fewer texts at a time.",
            headers={"Connection": "close"},
        )

    def _check_token(self, scope: Scope) -> None:
        if self.token is None or scope["path"] in OPEN_PATHS or scope["path"].startswith(STATIC):
            return
        kind, _, given = _header(scope, b"authorization").partition(b" ")
        if kind.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self.token):
            raise Refused(
                401,
                "This service asks for a token.",
                "Send it as a header: Authorization: Bearer TOKEN",
                headers={"WWW-Authenticate": "Bearer"},
            )

    def _record(self, scope: Scope, visit: _Visit) -> None:
        route = getattr(scope.get("route"), "path", "other")
        seconds = time.perf_counter() - visit.started
        self.gauges.requests.labels(route, str(visit.status)).inc()
        self.gauges.seconds.labels(route).observe(seconds)
        self.log(
            "request",
            request_id=scope["request_id"],
            method=scope["method"],
            route=route,
            status=visit.status,
            ms=round(1000 * seconds, 1),
            **scope["told"],
        )


class _Visit:
    """One request's number, time and status, and the headers that every answer bears."""

    def __init__(self, scope: Scope, send: Send) -> None:
        asked = _header(scope, b"x-request-id").decode("latin-1")
        self.request_id = asked if REQUEST_ID.fullmatch(asked) else secrets.token_hex(8)
        scope["request_id"], scope["told"] = self.request_id, {}
        self.started = time.perf_counter()
        self.status = 0
        self._send = send

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = list(message.get("headers", []))
            names = {name.lower() for name, _ in given}
            own = [*HEADERS, (b"x-request-id", self.request_id.encode())]
            message["headers"] = given + [(name, value) for name, value in own if name not in names]
        await self._send(message)

    async def refuse(self, refused: Refused) -> None:
        """Answer with a problem."""
        body = problem_body(refused, self.request_id)
        headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), **refused.headers}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refused.status, "headers": raw})
        await self.send({"type": "http.response.body", "body": body})


def _busy(detail: str) -> Refused:
    return Refused(503, detail, "Try again in a second.", headers={"Retry-After": "1"})


def _header(scope: Scope, name: bytes) -> bytes:
    return next((value for key, value in scope["headers"] if key == name), b"")


def _once(body: bytes, receive: Receive) -> Receive:
    """The body that was read, and then whatever comes."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


async def _disconnected(receive: Receive) -> None:
    """Until the client has gone, or has its answer."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _where(error: BaseException) -> str:
    """The kind of an error and the lines it came through; not its message, which may hold a text."""
    lines, step = [], error.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        lines.append(f"{code.co_filename.rsplit('/', 1)[-1]}:{step.tb_lineno}")
        step = step.tb_next
    return f"{type(error).__name__} at {' > '.join(lines[-6:])}"
