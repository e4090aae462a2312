"""`plaintune serve` in a real process, for the tests that talk to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """A running service; `log` holds its lines so far, parsed."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log: list[dict[str, Any]] = []
        self.raw = ""
        self._news = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()
        self.address = self.logged("started")["address"]

    def ask(self, path: str, body: Any = None, *, method: str | None = None, **headers: str) -> Reply:
        """GET, or POST with a body (JSON, or bytes as they are), on a connection of its own."""
        split = urlsplit(self.address)
        assert split.hostname
        connection = http.client.HTTPConnection(split.hostname, split.port, timeout=60)
        sent = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        told = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            told.setdefault("Content-Type", "application/json")
        with contextlib.closing(connection):
            connection.request(method or ("GET" if body is None else "POST"), path, sent, told)
            response = connection.getresponse()
            return Reply(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )

    def logged(self, event: str, seconds: float = 60, **wanted: Any) -> dict[str, Any]:
        """The first line about `event` with these values, waited for."""

        def find() -> dict[str, Any] | None:
            for line in self.log:
                if line["event"] == event and wanted.items() <= line.items():
                    return line
            if self.process.poll() is not None and not self._news.wait(0.5):
                raise AssertionError(f"The service ended: {self.raw}")
            return None

        with self._news:
            found = self._news.wait_for(find, seconds)
        assert found, f"no {event} in {self.raw}"
        return found

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def _listen(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._news:
                self.raw += line
                if line.startswith("{"):
                    self.log.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._news.notify_all()


@contextlib.contextmanager
def serving(
    *arguments: object, cwd: Path, program: Sequence[str] = ("-m", "plaintune"), **env: str
) -> Iterator[Service]:
    """`plaintune serve ARGUMENTS` at a free port, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, *program, "serve", *map(str, arguments), "--port", "0"],
        cwd=cwd, env={**os.environ, **env}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield Service(process)
    finally:
        process.kill()
        process.wait()
