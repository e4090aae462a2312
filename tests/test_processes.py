"""A model goes where Python goes: threads, other processes however they are started, workers of a server."""

from __future__ import annotations

import http.client
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from conftest import BAD, GOOD
from plaintune.model.predict import Model

Trained = tuple[Path, dict[str, Any]]
TEXTS = [*GOOD, *BAD]
APP = """
import json, plaintune
model = plaintune.load({folder!r})
model.predict("warm")
def app(environ, start):
    start("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(model.predict("{text}")[0].probabilities).encode()]
"""


@pytest.fixture(scope="module")
def model(trained: Trained) -> Model:
    loaded = Model.load(trained[0])
    loaded.predict(TEXTS)
    return loaded


def confidences(model: Model) -> list[float]:
    return [prediction.confidence for prediction in model.predict(TEXTS)]


def tell(pipe: Any, model: Model) -> None:
    pipe.send(confidences(model))


def test_many_threads_get_the_answers_of_one(model: Model) -> None:
    wanted = pytest.approx(confidences(model), abs=1e-5)
    with ThreadPoolExecutor(8) as threads:
        assert all(found == wanted for found in threads.map(lambda _: confidences(model), range(64)))


def test_a_pickled_model_is_its_place_and_opens_the_same_folder(
    model: Model, trained: Trained, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(trained[0].parent)
    packed = pickle.dumps(Model.load(trained[0].name))
    assert len(packed) < 1000
    monkeypatch.chdir(tmp_path)
    assert confidences(pickle.loads(packed)) == pytest.approx(confidences(model), abs=1e-6)


@pytest.mark.parametrize("way", ["fork", "spawn"])
def test_a_process_started_either_way_answers(model: Model, way: str) -> None:
    if way not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {way}")
    context = multiprocessing.get_context(way)
    here, there = context.Pipe()
    time.sleep(0.5)  # threads of the model that have gone to sleep are what a fork used to wait for
    child = context.Process(target=tell, args=(there, model))
    child.start()
    try:
        assert here.poll(60), "the child does not answer"
        assert here.recv() == pytest.approx(confidences(model), abs=1e-6)
    finally:
        child.kill()


def test_a_fork_while_another_thread_answers_does_not_wait_for_it(model: Model) -> None:
    context = multiprocessing.get_context("fork")
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(lambda: [confidences(model) for _ in range(50)])
        here, there = context.Pipe()
        child = context.Process(target=tell, args=(there, model))
        child.start()
        try:
            assert here.poll(60), "the child does not answer"
        finally:
            child.kill()
        busy.result()


def free_port() -> int:
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        return int(any_port.getsockname()[1])


@pytest.mark.parametrize("options", [[], ["--preload"], ["--worker-class", "gthread", "--threads", "4"]])
def test_workers_of_gunicorn_answer(trained: Trained, tmp_path: Path, options: list[str]) -> None:
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    (tmp_path / "asked.py").write_text(APP.format(folder=str(trained[0]), text=GOOD[0]))
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "asked:app", "--workers", "2", *options]
    server = subprocess.Popen([*command, "--bind", f"127.0.0.1:{port}"], cwd=tmp_path, env={**os.environ})
    try:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                connection.request("GET", "/")
                break
            except ConnectionRefusedError:
                time.sleep(0.1)
        assert b"positive" in connection.getresponse().read()
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(40) == 0
