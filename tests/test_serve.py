"""`plaintune serve`: the answers of `predict` over HTTP, and a problem that helps where there is none."""

from __future__ import annotations

import contextlib
import csv
import http.client
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from pydantic import ValidationError

from conftest import BAD, GOOD, Cli, make_manifest_fit
from plaintune.core.errors import BrokenModel, UserError
from plaintune.core.linear import NgramModel
from plaintune.faces import gate, served, server
from plaintune.faces.serve import Many, One
from plaintune.faces.unsure import UnsureLog
from plaintune.model.predict import Model, Prediction
from service import Reply, Service, serving

TEXTS = [*GOOD, *BAD, "", "ünïcode 🎈", "a word " * 300]
TOKEN = "a-token-for-the-tests-0123456789"


@pytest.fixture(scope="module")
def folder(trained: tuple[Path, dict[str, Any]]) -> Path:
    return trained[0]


@pytest.fixture(scope="module")
def service(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for the tests that leave it as it is: two models, small limits."""
    other = tmp_path_factory.mktemp("other") / "turned"
    renamed_answers(folder, other)
    limits = ("--most-characters", 3000, "--most-texts", 50)
    with serving(folder, other, *limits, cwd=other.parent) as running:
        yield running


def renamed_answers(folder: Path, out: Path) -> None:
    """The same model with answers of other names: another version that one can tell apart."""
    staged = out.with_name("staged")
    shutil.copytree(folder, staged)
    manifest = json.loads((staged / "manifest.json").read_text())
    manifest["classes"] = [f"new {name}" for name in manifest["classes"]]
    (staged / "manifest.json").write_text(json.dumps(manifest))
    if out.exists():
        out.rename(out.with_name("gone"))
    staged.rename(out)


def is_problem(reply: Reply, status: int) -> dict[str, Any]:
    assert reply.status == status, reply.body
    assert reply.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = reply.json
    assert told["status"] == status
    assert told["detail"].endswith((".", "?"))
    assert told["fix"]
    assert told["request_id"] == reply.headers["x-request-id"]
    return told


def test_one_text_and_many_get_the_answers_of_predict(service: Service, folder: Path) -> None:
    expected = Model.load(folder).predict(TEXTS)
    many = service.ask("/predict", {"texts": TEXTS}).json
    assert many["model"] == folder.name
    for text, wanted, found in zip(TEXTS, expected, many["predictions"], strict=True):
        alone = service.ask("/predict", {"text": text}).json["predictions"]
        assert [alone[0]["answer"], found["answer"]] == [wanted.answer] * 2
        assert [alone[0]["confidence"], found["confidence"]] == pytest.approx(
            [wanted.confidence] * 2, abs=1e-5
        )
        assert found["probabilities"] == pytest.approx(wanted.probabilities, abs=1e-5)
        assert found["unsure"] == (wanted.confidence < 0.8)


def test_an_answer_leaves_at_once(service: Service) -> None:
    split = urlsplit(service.address)
    connection = http.client.HTTPConnection(split.netloc)
    connection.connect()
    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    seconds = []
    for _ in range(20):
        started = time.monotonic()
        connection.request("GET", "/health")
        connection.getresponse().read()
        seconds.append(time.monotonic() - started)
    connection.close()
    assert min(seconds[5:]) < 0.03  # body and headers waiting for one another take 0.04


def test_each_model_answers_under_its_name(service: Service, folder: Path) -> None:
    first = service.ask(f"/models/{folder.name}/predict", {"text": GOOD[0]}).json
    second = service.ask("/models/turned/predict", {"text": GOOD[0]}).json
    assert second["predictions"][0]["answer"] == f"new {first['predictions'][0]['answer']}"
    assert [model["name"] for model in service.ask("/models").json["models"]] == [folder.name, "turned"]
    told = is_problem(service.ask("/models/turnd/predict", {"text": "x"}), 404)
    assert "Did you mean 'turned'?" in told["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"no json", 422),
        (b"", 422),
        (b"[" * 1_000_000, 400),
        (b'{"text": "\\ud800"}', 422),
        ({}, 422),
        ({"text": None}, 422),
        ({"text": ["a"]}, 422),
        ({"text": "a", "texts": ["a"]}, 422),
        ({"texts": []}, 422),
        ({"texts": ["a", 1]}, 422),
        ({"texts": ["a"] * 51}, 413),
        ({"text": "a" * 3001}, 413),
        (b'{"text": "' + b"a" * 11_000_000 + b'"}', 413),
    ],
)
def test_what_cannot_be_answered_is_a_problem_that_repeats_nothing(
    service: Service, body: Any, status: int
) -> None:
    told = is_problem(service.ask("/predict", body), status)
    assert "aaa" not in str(told)
    assert service.ask("/predict", {"text": "still there"}).status == 200


def test_addresses_that_are_not_there_and_methods_that_do_not_fit_are_problems(service: Service) -> None:
    is_problem(service.ask("/nothing"), 404)
    is_problem(service.ask("/static/..%2fserve.py"), 404)
    is_problem(service.ask("/static/serve.py"), 404)
    is_problem(service.ask(f"/static/{'a' * 300}.css"), 404)
    is_problem(service.ask("/predict"), 405)


def test_a_load_balancer_may_ask_without_wanting_to_hear(service: Service) -> None:
    for path in ("/health", "/ready"):
        reply = service.ask(path, method="HEAD")
        assert (reply.status, reply.body) == (200, b"")


def test_a_request_id_comes_back_and_a_strange_one_is_replaced(service: Service) -> None:
    assert service.ask("/health", X_Request_ID="order-66.a").headers["x-request-id"] == "order-66.a"
    assert service.logged("request", request_id="order-66.a")["route"] == "/health"
    made = service.ask("/health", X_Request_ID="a b<script>").headers["x-request-id"]
    assert made.isalnum()


def test_the_log_is_json_and_never_holds_a_text(service: Service) -> None:
    secret = "my name is Ottilie Winterbottom"
    service.ask("/predict", {"text": secret}, X_Request_ID="secret-1")
    service.ask("/predict", {"text": secret, "more": secret}, X_Request_ID="secret-2")
    service.ask(f"/predict?{secret.replace(' ', '+')}", {"text": secret}, X_Request_ID="secret-3")
    line = service.logged("request", request_id="secret-1")
    assert (line["status"], line["texts"], line["characters"]) == (200, 1, len(secret))
    service.logged("request", request_id="secret-3")
    assert "Ottilie" not in service.raw


def test_health_ready_metrics_and_description(service: Service, folder: Path) -> None:
    assert service.ask("/health").json == {"status": "ok"}
    assert service.ask("/ready").json["status"] == "ready"
    service.ask("/predict", {"texts": GOOD})
    page = service.ask("/metrics").body.decode()
    assert 'plaintune_requests_total{route="/predict",status="200"}' in page
    texts = next(line for line in page.splitlines() if line.startswith("plaintune_texts_total{"))
    assert float(texts.split()[-1]) >= len(GOOD)
    described = service.ask("/openapi.json").json
    many = described["components"]["schemas"]["Many"]["properties"]["texts"]
    assert many["description"] == "At most 50. At most 3,000 characters each."
    assert set(described["paths"]) >= {
        "/predict",
        "/explain",
        "/models/{name}/predict",
        "/health",
        "/metrics",
    }
    watched = service.ask(f"/models/{folder.name}/watch").json
    assert watched["reference_texts"]
    assert watched["texts"] >= len(GOOD)


def test_pages_come_with_a_policy_that_allows_only_our_own_files(service: Service) -> None:
    for path in ("/", "/watch", "/docs"):
        reply = service.ask(path)
        assert reply.status == 200
        page = reply.body.decode()
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert "unsafe" not in reply.headers["content-security-policy"]
        assert not any(mark in page for mark in ("style=", "onclick=", "<style", "http://", "https://"))
        assert "script" in page
        for part in ("page.css", "colours.css", "icon.svg", "service.js"):
            assert service.ask(f"/static/{part}").status == 200


def test_a_token_is_asked_for_and_never_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "token.txt").write_text(f"{TOKEN}\n")
    with serving(folder, "--token-file", "token.txt", cwd=tmp_path) as service:
        for path in ("/predict", "/explain", "/models", "/metrics", f"/models/{folder.name}/watch"):
            told = is_problem(service.ask(path, None if path == "/models" else {"text": "a"}), 401)
            assert TOKEN not in str(told)
        wrong = service.ask("/predict", {"text": "a"}, Authorization=f"Bearer {TOKEN}x")
        assert is_problem(wrong, 401)
        assert wrong.headers["www-authenticate"] == "Bearer"
        right = service.ask("/predict", {"text": "a"}, Authorization=f"Bearer {TOKEN}")
        assert right.status == 200
        for path in ("/", "/health", "/ready", "/static/page.js"):
            assert service.ask(path).status == 200
        assert service.stop() == 0
        assert TOKEN not in service.raw


def test_a_full_queue_says_so_at_once(folder: Path, tmp_path: Path) -> None:
    with serving(folder, "--queue", 1, "--batch", 1, cwd=tmp_path) as service, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(service.ask, "/predict", {"texts": ["a word " * 2000] * 400})
        while (
            'plaintune_waiting_texts{model="reviews-model"} 400' not in service.ask("/metrics").body.decode()
        ):
            assert not waiting.done()
        started = time.monotonic()
        refused = service.ask("/predict", {"text": "me too"})
        assert time.monotonic() - started < 0.5
        is_problem(refused, 503)
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["content-length"] == str(len(refused.body))
        assert service.logged("request", status=503)["route"] == "other"  # at the door: that is cheap
        assert len(waiting.result().json["predictions"]) == 400
        assert service.ask("/predict", {"text": "me too"}).status == 200


def test_nobody_is_answered_who_has_gone(folder: Path, tmp_path: Path) -> None:
    body = json.dumps({"texts": ["a word " * 1000] * 1000}).encode()
    kind = "Content-Type: application/json"
    head = f"POST /predict HTTP/1.1\r\nHost: here\r\n{kind}\r\nContent-Length: {len(body)}"
    with serving(folder, "--batch", 1, cwd=tmp_path) as service:
        place = urlsplit(service.address)
        with socket.create_connection((place.hostname, place.port)) as hasty:
            hasty.sendall(f"{head}\r\n\r\n".encode() + body)
            while "} 1000" not in (told := service.ask("/metrics").body.decode()):
                assert "plaintune_waiting_texts" in told
        line = service.logged("request", status=499)
        assert line["route"] == "/predict"
        waiting = 'plaintune_waiting_texts{model="reviews-model"} 0.0'
        assert waiting in service.ask("/metrics").body.decode()


IMPATIENT = """
from plaintune.faces import gate
gate.BODY_SECONDS = 0.5
from plaintune.faces.cli import main
main()
"""


def heard_at_last(service: Service, sent: bytes, *, drip: bytes = b"") -> bytes:
    """What came back until the service closed the connection, while ``drip`` came after ``sent`` for ever."""
    place, heard, until = urlsplit(service.address), b"", time.monotonic() + 20
    with socket.create_connection((place.hostname, place.port)) as connection:
        connection.settimeout(0.05)
        connection.sendall(sent)
        while time.monotonic() < until:
            try:
                if not (part := connection.recv(4096)):
                    return heard
                heard += part
            except TimeoutError:
                with contextlib.suppress(ConnectionError):  # closed: what it said can still be read
                    connection.sendall(drip)
            except ConnectionError:
                return heard
    raise AssertionError(f"it is open still, and said {heard!r}")


def test_who_stalls_in_mid_body_does_not_hold_his_place(folder: Path, tmp_path: Path) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Length: 1000\r\n\r\n{"
    with serving(folder, cwd=tmp_path, program=("-c", IMPATIENT)) as service:
        for drip in (b"", b" "):
            told, _, body = heard_at_last(service, head, drip=drip).partition(b"\r\n\r\n")
            assert told.startswith(b"HTTP/1.1 408 ")
            assert json.loads(body)["detail"].startswith("The body did not come within ")
        assert service.ask("/predict", {"text": "me"}).status == 200


SLOW_EXPLAINER = """
import sys, time, types
class Explanation:
    def as_json(self):
        return {"pieces": [{"text": "a", "start": 0, "end": 1, "weight": 1.0}]}
def explain(model, text):
    time.sleep(1)
    return Explanation()
sys.modules["plaintune.model.explain"] = types.SimpleNamespace(explain=explain)
from plaintune.faces.cli import main
main()
"""


HEALTH = b"GET /health HTTP/1.1\r\nHost: here\r\n"
SLOW = b"POST /explain HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n"
SLOW += b'Content-Length: 12\r\n\r\n{"text":"a"}'
UNASKED = "from plaintune.faces import server; server.IDLE_SECONDS = 0.5\n" + SLOW_EXPLAINER


def test_a_connection_without_a_request_is_closed_in_time(folder: Path, tmp_path: Path) -> None:
    with (
        serving(folder, cwd=tmp_path, program=("-c", UNASKED)) as service,
        ThreadPoolExecutor(5) as pool,
    ):
        silent = pool.submit(heard_at_last, service, b"")
        dripping = pool.submit(heard_at_last, service, HEALTH, drip=b"a")
        dripping_again = pool.submit(heard_at_last, service, HEALTH + b"\r\n" + HEALTH, drip=b"a")
        answered_before = pool.submit(
            heard_at_last, service, HEALTH + b"Content-Length: 1000\r\n\r\n", drip=b"a"
        )
        at_work = pool.submit(heard_at_last, service, SLOW + SLOW)
        assert silent.result() == dripping.result() == b""
        for one in (dripping_again, answered_before):
            assert one.result().count(b"HTTP/1.1 200 ") == 1
        assert at_work.result().count(b"HTTP/1.1 200 ") == 2  # however long a request takes


def test_what_comes_before_the_token_is_looked_at_is_bounded(folder: Path, tmp_path: Path) -> None:
    with serving(folder, cwd=tmp_path, program=("-c", SLOW_EXPLAINER)) as service:
        many = HEALTH + b"a:\r\n" * (server.MOST_HEADERS + 1)
        trailer = HEALTH + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"
        assert heard_at_last(service, many).startswith(b"HTTP/1.1 400 ")
        assert heard_at_last(service, HEALTH + b"a: ", drip=b"x" * 100_000) == b""
        assert heard_at_last(service, trailer + b"a: ", drip=b"x" * 100_000).startswith(b"HTTP/1.1 200 ")
        waiting = (HEALTH + b"\r\n") * server.MOST_PIPELINED
        assert heard_at_last(service, SLOW + waiting + HEALTH + b"\r\n").startswith(b"HTTP/1.1 400 ")
        answered = heard_at_last(service, waiting + HEALTH + b"Connection: close\r\n\r\n")
        assert answered.count(b"HTTP/1.1 200 ") == server.MOST_PIPELINED + 1


def test_explanations_are_given_a_few_at_a_time(folder: Path, tmp_path: Path) -> None:
    with (
        serving(folder, cwd=tmp_path, program=("-c", SLOW_EXPLAINER)) as service,
        ThreadPoolExecutor(7) as pool,
    ):
        replies = list(pool.map(lambda _: service.ask("/explain", {"text": "a"}), range(6)))
        given = [reply for reply in replies if reply.status == 200]
        assert len(given) == 4
        assert given[0].json["explanation"]["pieces"][0]["text"] == "a"
        for reply in replies:
            if reply.status != 200:
                is_problem(reply, 429)
        is_problem(service.ask(f"/models/{folder.name}/explain", {"text": "a" * 10_001}), 413)
        is_problem(service.ask("/explain", {"texts": ["a"]}), 422)


def test_unsure_texts_are_kept_once_for_a_person_to_label(folder: Path, tmp_path: Path, cli: Cli) -> None:
    asked = [*GOOD, *BAD]
    for _ in range(2):  # a second run goes on with the same file
        with serving(folder, "--unsure", 1, "--log-unsure", "unsure.csv", cwd=tmp_path) as service:
            service.ask("/predict", {"texts": asked})
            service.ask("/predict", {"texts": asked[:3]})
            assert service.stop() == 0
    rows = list(csv.DictReader((tmp_path / "unsure.csv").open(encoding="utf-8")))
    assert [row["text"] for row in rows] == asked
    assert {row["label"] for row in rows} == {""}
    assert {row["guess"] for row in rows} <= {"positive", "negative"}
    for row, answer in zip(rows, ["positive"] * len(GOOD) + ["negative"] * len(BAD), strict=True):
        row["label"] = answer
    with (tmp_path / "labelled.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    done = cli("check", "labelled.csv", "--quick", "--json", cwd=tmp_path)  # reads as train does
    assert done.returncode == 0, done.stderr
    assert "predict `label` (2 answers: negative, positive) from `text`" in done.stderr


def test_a_question_full_of_faults_costs_no_more_than_one_of_them() -> None:
    with pytest.raises(ValidationError) as many:
        Many.model_validate({"texts": [0] * 1000})
    with pytest.raises(ValidationError) as one:
        One.model_validate({"text": "a"} | {f"more {n}": 1 for n in range(1000)})
    assert many.value.error_count() == 1
    assert one.value.error_count() < 5


def test_half_a_character_does_not_keep_a_request_out_of_the_log(folder: Path, tmp_path: Path) -> None:
    with serving(folder, "--log-texts", cwd=tmp_path) as service:
        is_problem(service.ask("/predict", b'{"text": "half \\ud800"}', X_Request_ID="half"), 422)
        assert service.logged("request", request_id="half")["text"] == ["half \ufffd"]


def test_a_table_of_ones_own_is_no_log_of_unsure_texts(tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("text,label\nGood,yes\n")
    with pytest.raises(UserError, match="left alone"):
        UnsureLog(own)
    assert own.read_text() == "text,label\nGood,yes\n"
    log = tmp_path / "log.csv"
    log.write_text("text,label,guess,confidence\nGood,,yes,0.5")  # cut before its end of line
    UnsureLog(log).add([("Bad", Prediction("no", 0.6, {"no": 0.6}))])
    assert log.read_text().splitlines()[1:] == ["Good,,yes,0.5", "Bad,,no,0.6000"]


def test_a_log_that_was_filled_in_with_a_spreadsheet_is_gone_on_with(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text("text,label,guess,confidence\nGood,yes,yes,0.5\n", encoding="utf-8-sig")
    added = UnsureLog(log)
    added.add([(text, Prediction("no", 0.6, {"no": 0.6})) for text in ("Good", "Bad")])
    assert log.read_text(encoding="utf-8-sig").splitlines()[1:] == ["Good,yes,yes,0.5", "Bad,,no,0.6000"]


def test_a_log_taken_away_to_be_labelled_begins_anew_and_goes_on_after_a_restart(tmp_path: Path) -> None:
    log = UnsureLog(tmp_path / "log.csv")
    log.add([("Good", Prediction("yes", 0.5, {"yes": 0.5}))])
    (tmp_path / "log.csv").rename(tmp_path / "taken.csv")
    log.add([("Bad", Prediction("no", 0.6, {"no": 0.6}))])
    UnsureLog(tmp_path / "log.csv").add([("Worse", Prediction("no", 0.7, {"no": 0.7}))])
    header = "text,label,guess,confidence"
    assert (tmp_path / "taken.csv").read_text().splitlines() == [header, "Good,,yes,0.5000"]
    kept = (tmp_path / "log.csv").read_text().splitlines()
    assert kept == [header, "Bad,,no,0.6000", "Worse,,no,0.7000"]


def test_a_folder_that_cannot_be_looked_at_for_a_moment_is_looked_at_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "is_dir", refuse)
    assert served._stamp(folder) is None


@pytest.mark.parametrize("fault", ["weights", "scores"])
def test_a_model_that_opens_but_cannot_serve_is_refused(folder: Path, tmp_path: Path, fault: str) -> None:
    stranger = Path(shutil.copytree(folder, tmp_path / "stranger"))
    if fault == "scores":
        manifest = json.loads((stranger / "manifest.json").read_text())
        del manifest["scores"]["score_interval"]
        (stranger / "manifest.json").write_text(json.dumps(manifest))
    else:
        words = NgramModel.load(stranger / "ngrams.safetensors")
        replace(words, bias=np.full_like(words.bias, np.nan)).save(stranger / "ngrams.safetensors")
        make_manifest_fit(stranger)
    Model.load(stranger)
    with pytest.raises(BrokenModel, match="does not answer"):
        served._load(stranger)


HASTY = """
from plaintune.faces import server
server.GRACE_SECONDS = 1
from plaintune.faces.cli import main
main()
"""


def test_what_takes_longer_than_the_service_waits_at_its_end_is_told_so(folder: Path, tmp_path: Path) -> None:
    with (
        serving(folder, "--batch", 1, cwd=tmp_path, program=("-c", HASTY)) as service,
        ThreadPoolExecutor(1) as pool,
    ):
        long = pool.submit(service.ask, "/predict", {"texts": ["a word " * 1000] * 1000})
        while "} 1000" not in service.ask("/metrics").body.decode():
            assert not long.done()
        assert service.stop() == 0
        is_problem(long.result(), 503)


MANY_CLASSES = """
from plaintune.faces import server
from plaintune.model.predict import Model, Prediction
large = Prediction("answer 0", 1 / 3, {f"answer {number}": 1 / 3 for number in range(1000)})
Model.predictions = lambda model, outputs: [large] * len(outputs)
"""


def test_others_are_answered_while_a_large_answer_is_written(folder: Path, tmp_path: Path) -> None:
    with (
        serving(folder, cwd=tmp_path, program=("-c", MANY_CLASSES + SLOW_EXPLAINER)) as service,
        ThreadPoolExecutor(1) as pool,
    ):
        large = pool.submit(service.ask, "/predict", {"texts": ["a"] * 1000})
        seconds = []
        while not large.done():
            started = time.monotonic()
            assert service.ask("/health").status == 200
            seconds.append(time.monotonic() - started)
        assert len(large.result().json["predictions"][-1]["probabilities"]) == 1000
        assert max(seconds) < 1  # made on the event loop, it took 2.5


@pytest.mark.parametrize(("grace", "unread"), [(30, 0.5), (1, 30)])
def test_who_does_not_take_his_answer_does_not_hold_up_the_end(
    folder: Path, tmp_path: Path, grace: float, unread: float
) -> None:
    times = f"server.GRACE_SECONDS, server.UNREAD_SECONDS = {grace}, {unread}\n"
    program = MANY_CLASSES + times + SLOW_EXPLAINER.replace("sleep(1)", "sleep(3)")
    body = json.dumps({"texts": ["a"] * 1000}).encode()
    with (
        serving(folder, "--queue", 3000, cwd=tmp_path, program=("-c", program)) as service,
        contextlib.ExitStack() as all,
    ):
        place = urlsplit(service.address)
        for number in range(3):
            head = f"POST /predict HTTP/1.1\r\nHost: here\r\nX-Request-ID: {number}\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            client = all.enter_context(socket.create_connection((place.hostname, place.port)))
            client.sendall(head.encode() + body + SLOW)  # and one more, whose answer has to wait
        for number in range(3):
            service.logged("request", request_id=str(number), status=200)
        started = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - started < 15


def test_the_log_is_written_where_only_ascii_can_be(monkeypatch: pytest.MonkeyPatch) -> None:
    told = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(told, encoding="ascii", write_through=True))
    served.log_line("request", text="ünïcode \ud800")
    assert json.loads(told.getvalue())["text"].startswith("ünïcode")


def test_what_cannot_be_served_ends_in_two_lines(folder: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "short.txt").write_text("secret")
    with serving(folder, cwd=tmp_path) as service:
        port = service.address.rpartition(":")[2]
        for arguments, told in [
            (["nothing"], "There is no model folder at nothing"),
            ([folder, folder], "Two models are called"),
            ([folder, "--token-file", "short.txt"], "openssl rand -hex 32"),
            ([folder, "--token-file", "none.txt"], "cannot be read"),
            ([folder, "--port", port], "Choose another port"),
            ([folder, "--log-unsure", "no/where.csv", "--port", "0"], "--log-unsure FILE"),
        ]:
            done = cli("serve", *arguments, cwd=tmp_path)
            assert done.returncode == 2, arguments
            assert len(done.stderr.strip().splitlines()) == 2, done.stderr
            assert told in done.stderr
            assert "secret" not in done.stderr


def test_help_tells_the_times_that_are_kept(tmp_path: Path, cli: Cli) -> None:
    told = " ".join(cli("serve", "--help", cwd=tmp_path).stdout.split())
    assert f"within {server.IDLE_SECONDS} seconds; the body then has {gate.BODY_SECONDS:.0f} to" in told


def test_other_commands_do_not_load_the_web_server() -> None:
    code = "import sys, plaintune.api, plaintune.faces.cli, plaintune.faces.cli_serve; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"fastapi", "uvicorn", "starlette", "prometheus_client"} & set(loaded.split())


class Load:
    """Clients that ask without pause, a connection each time, until told to stop."""

    def __init__(self, service: Service, clients: int) -> None:
        self.service, self.ended = service, threading.Event()
        self.pool = ThreadPoolExecutor(clients)
        self.runs = [self.pool.submit(self._run, number) for number in range(clients)]

    def _run(self, number: int) -> list[tuple[float, str, Reply | None]]:
        told: list[tuple[float, str, Reply | None]] = []
        while not self.ended.is_set():
            text = TEXTS[(number + len(told)) % len(TEXTS)]
            started = time.monotonic()
            try:
                told.append((started, text, self.service.ask("/predict", {"text": text})))
            except OSError:
                told.append((started, text, None))
                break
        return told

    def end(self) -> list[tuple[float, str, Reply | None]]:
        """What every request got: when it was begun, its text, the reply."""
        self.ended.set()
        return [told for run in self.runs for told in run.result()]


def check_answers(told: list[tuple[float, str, Reply | None]], folder: Path) -> set[str]:
    """All answers are those of predict, whichever version gave them; the versions."""
    expected = dict(zip(TEXTS, Model.load(folder).predict(TEXTS), strict=True))
    versions = set()
    for _, text, reply in told:
        assert reply is not None
        assert reply.status == 200, reply.body
        found = reply.json["predictions"][0]
        assert found["answer"].removeprefix("new ") == expected[text].answer
        assert found["confidence"] == pytest.approx(expected[text].confidence, abs=1e-5)
        versions.add(reply.json["version"])
    return versions


@pytest.mark.slow
@pytest.mark.parametrize("way", ["signal", "watch"])
def test_a_new_model_takes_over_under_load_and_no_request_is_lost(
    folder: Path, tmp_path: Path, way: str
) -> None:
    at_work = tmp_path / "model"
    shutil.copytree(folder, at_work)
    with serving("model", *(["--watch"] if way == "watch" else []), cwd=tmp_path) as service:
        load = Load(service, 24)
        time.sleep(1)
        renamed_answers(folder, at_work)
        if way == "signal":
            service.process.send_signal(signal.SIGHUP)
        service.logged("reloaded", 30)
        time.sleep(1)
        told = load.end()
        assert service.ask("/predict", {"text": GOOD[0]}).json["predictions"][0]["answer"].startswith("new ")
    assert len(told) > 200
    assert len(check_answers(told, folder)) == 2


@pytest.mark.slow
def test_a_damaged_model_is_refused_and_the_old_one_goes_on(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "model")
    with serving("model", "--watch", cwd=tmp_path) as service:
        before = service.ask("/predict", {"text": GOOD[0]}).json
        graph = tmp_path / "model" / "model.onnx"
        whole = graph.read_bytes()
        graph.write_bytes(whole[:-100])
        assert "damaged" in service.logged("reload refused", 30)["problem"]
        time.sleep(2.5)
        assert sum(line["event"] == "reload refused" for line in service.log) == 1
        assert service.ask("/predict", {"text": GOOD[0]}).json == before
        assert (
            'plaintune_reloads_total{model="model",result="refused"} 1.0'
            in service.ask("/metrics").body.decode()
        )
        graph.write_bytes(whole)
        service.logged("reloaded", 30)


@pytest.mark.slow
def test_sigterm_under_load_finishes_everything_that_was_begun(folder: Path, tmp_path: Path) -> None:
    with serving(folder, cwd=tmp_path) as service:
        load = Load(service, 24)
        long = ThreadPoolExecutor(1).submit(service.ask, "/predict", {"texts": ["a word " * 500] * 1000})
        time.sleep(1)
        stopped = time.monotonic()
        assert service.stop() == 0
        told = load.end()
        assert len(long.result().json["predictions"]) == 1000
    begun = [one for one in told if one[0] < stopped - 0.05]
    assert len(begun) > 50
    check_answers(begun, folder)
    assert service.log[-1]["event"] == "stopped"
