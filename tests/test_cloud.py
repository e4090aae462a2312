"""A run on a rented machine, on a cloud of the tests' own: rent, train, bring back, and always switch off."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

import plaintune
from cloud.lab import ENVIRONMENT, Lab, why_not
from cloud.skypilot import SHIPPED_PRICES, optimizer
from conftest import make_backbone, review_rows, write_csv
from plaintune.compute.names import BACKBONE, DATA, MODEL
from plaintune.compute.prices import price_list

pytestmark = [
    pytest.mark.cloud,
    pytest.mark.skipif(why_not() is not None, reason=f"the offline cloud {why_not()}"),
]
ENDED = {"terminated", "shutting-down"}
JUPYTER = 18899  # its port on this machine


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The disk that every rented machine starts from."""
    kept = os.environ.get("PLAINTUNE_LAB_IMAGE")
    return Path(kept) if kept else tmp_path_factory.mktemp("image") / "image"


@pytest.fixture
def lab(tmp_path: Path, image: Path) -> Iterator[Lab]:
    """An empty cloud; nothing may be left running in it."""
    cloud = Lab(tmp_path / "lab", image=image)
    try:
        yield cloud.start()
        assert set(cloud.states()) <= ENDED
    finally:
        cloud.stop()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder with a small file of reviews."""
    folder = tmp_path / "here"
    folder.mkdir()
    write_csv(folder / "reviews.csv", ["review", "sentiment"], review_rows())
    return folder


class Command:
    """`plaintune ARGS` as a user of the lab's cloud, in the background; what it says goes to files."""

    def __init__(self, lab: Lab, here: Path, *args: object) -> None:
        self.out, self.err = lab.root / "stdout.txt", lab.root / "stderr.txt"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "plaintune", *map(str, args)],
                cwd=here, env={**os.environ, "COLUMNS": "80", **lab.environment}, stdin=subprocess.DEVNULL,
                stdout=out, stderr=err,
            )  # fmt: skip

    def wait_for(self, words: str, seconds: float = 300) -> None:
        """Until it has said ``words`` on stderr."""
        end = time.monotonic() + seconds
        while words not in (said := self.err.read_text()):
            assert self.process.poll() is None, said
            assert time.monotonic() < end, said
            time.sleep(0.2)

    def kill(self) -> None:
        """Without a chance to tidy up."""
        self.process.kill()
        self.process.wait()

    def finish(self, seconds: float = 400) -> tuple[int, str, str]:
        """The exit code, and what it has said on stdout and stderr."""
        status = self.process.wait(timeout=seconds)
        return status, self.out.read_text(), self.err.read_text()


def train(backbone: Path) -> tuple[object, ...]:
    return ("train", "reviews.csv", "--on", "cloud", "--backbone", backbone, "--minutes", 5, "--yes")


def long_work(folder: Path, rows: int) -> None:
    """Reviews of many words in many orders: training on them takes a minute or more."""
    draw = random.Random(0)
    words = sorted({word for text, _ in review_rows() for word in text.split()})
    drawn = [(" ".join(draw.choices(words, k=100)), draw.choice(["good", "bad"])) for _ in range(rows)]
    write_csv(folder / "reviews.csv", ["review", "sentiment"], drawn)


def its_report_names_what_is_here_and_what_was_paid(model: Path, backbone: Path) -> None:
    """Title, lines to type and dollars; nothing in it is called as it was on the machine."""
    report = json.loads((model / "report.json").read_text())
    assert (report["model"], report["place"], report["source"]) == (model.name, model.name, "reviews.csv")
    train = report["corrections_command"]
    assert train.startswith(f"plaintune train reviews.csv --backbone {backbone} --corrections fixes.csv ")
    assert f" --out {model.name} " in train
    assert f"plaintune evaluate {model.name} newer.csv" in [one["command"] for one in report["actions"]]
    assert " (aws us-" in report["rental"]["machine"]
    assert 0 < report["rental"]["cost_usd"] < 0.1
    assert 0 < report["rental"]["minutes"] < 10
    page, card = ((model / name).read_text() for name in ("report.html", "README.md"))
    assert f"<h1>{model.name}</h1>" in page
    assert f"plaintune predict {model.name} " in card
    for text in (page, card, (model / "report.json").read_text(), (model / "manifest.json").read_text()):
        assert "about $0.0" in text
        assert not re.search(rf"{MODEL}|{DATA}|{BACKBONE}", text)


def test_a_model_is_trained_on_a_rented_machine_and_the_machine_is_gone(
    lab: Lab, here: Path, tiny_backbone: Path
) -> None:
    status, said, errors = Command(lab, here, *train(tiny_backbone)).finish()
    assert status == 0, errors
    assert "spot (aws" in errors
    assert "Scoring on examples it has never seen" in errors
    assert "The machine is gone. It cost about $0.0" in errors
    assert "The model is in reviews-model" in said
    assert sorted(path.name for path in here.iterdir()) == ["reviews-model", "reviews.csv"]
    its_report_names_what_is_here_and_what_was_paid(here / "reviews-model", tiny_backbone)
    status, said, errors = Command(lab, here, "predict", "reviews-model", "what a great film").finish()
    assert status == 0, errors
    assert lab.states() == ["terminated"]


def test_two_rented_machines_train_one_model_together(lab: Lab, here: Path, tiny_backbone: Path) -> None:
    status, said, errors = Command(lab, here, *train(tiny_backbone), "--machines", 2).finish(600)
    assert status == 0, errors
    assert "2 × " in errors
    assert "processes: 2 — each learns from its share of every batch" in errors
    assert "The model is in reviews-model" in said
    assert lab.states() == ["terminated", "terminated"]


def test_nothing_is_rented_without_a_yes_and_private_data_are_pointed_out_first(lab: Lab, here: Path) -> None:
    rows = [(f"{text}, write to me{n}@example.org", label) for n, (text, label) in enumerate(review_rows())]
    write_csv(here / "reviews.csv", ["review", "sentiment"], rows)
    status, _, errors = Command(lab, here, "train", "reviews.csv", "--on", "cloud").finish()
    assert status == 2
    assert "Nothing was rented." in errors
    assert errors.index("private data (e-mail)") < errors.index("spot (aws")
    assert lab.states() == []


def test_ctrl_c_ends_the_machine(lab: Lab, here: Path, tiny_backbone: Path) -> None:
    long_work(here, rows=6_000)
    command = Command(lab, here, *train(tiny_backbone))
    command.wait_for("Setting up the rented machine")
    command.process.send_signal(signal.SIGINT)
    status, _, errors = command.finish()
    assert status == 130, errors
    assert "The machine is gone." in errors
    assert lab.states() == ["terminated"]


def test_a_killed_command_is_found_by_the_next_and_the_doctor_ends_its_machine(
    lab: Lab, here: Path, tiny_backbone: Path
) -> None:
    long_work(here, rows=6_000)
    command = Command(lab, here, *train(tiny_backbone))
    command.wait_for("Setting up the rented machine")
    command.kill()
    assert lab.states() == ["running"]
    _, _, errors = Command(lab, here, "glossary", "GPU").finish()
    assert "may still be running and costing money" in errors
    _, said, _ = Command(lab, here, "cloud", "doctor").finish()
    assert "no plaintune looks after it any more" in said
    _, said, errors = Command(lab, here, "cloud", "doctor", "--end").finish()
    assert said == "Nothing is rented.\n", errors
    lab.wait(lambda: set(lab.states()) <= ENDED, 10, "it is still there")
    _, _, errors = Command(lab, here, "glossary", "GPU").finish()
    assert errors == ""


def test_a_command_killed_while_it_orders_a_machine_leaves_none(
    lab: Lab, here: Path, tiny_backbone: Path
) -> None:
    command = Command(lab, here, *train(tiny_backbone))
    command.wait_for("Renting a machine")
    client = lab.home / "cloud" / "home" / "sky.pid"
    lab.wait(client.exists, 30, "SkyPilot was not asked")
    command.kill()
    _, said, errors = Command(lab, here, "cloud", "doctor", "--end").finish()
    assert said == "Nothing is rented.\n", errors
    _, _, errors = Command(lab, here, "glossary", "GPU").finish()
    assert errors == ""


def test_a_region_that_refuses_hides_no_machine_of_another() -> None:
    code = """
import json, sys
sys.path.insert(0, sys.argv[1])
import ec2
from botocore.exceptions import ClientError, ConnectTimeoutError
def instances_in(region):
    if region == "closed":
        raise ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "DescribeInstances")
    if region == "silent":
        raise ConnectTimeoutError(endpoint_url="x")
    return [{"id": "i-1", "tags": {"plaintune-rental": "one"}}]
ec2.instances_in, ec2.account = instances_in, lambda: {"account": "1"}
print(json.dumps(ec2.list_instances(["closed", "silent", "open"])))
"""
    compute = Path(plaintune.__file__).parent / "compute"
    python = str(ENVIRONMENT / "bin" / "python")
    done = subprocess.run([python, "-c", code, str(compute)], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {
        "account": "1",
        "found": [{"id": "i-1", "tags": {"plaintune-rental": "one"}}],
        "closed": {"closed": "UnauthorizedOperation"},
        "silent": {"silent": "ConnectTimeoutError"},
    }


def test_the_same_command_takes_up_a_run_whose_command_was_killed(
    lab: Lab, here: Path, tiny_backbone: Path
) -> None:
    command = Command(lab, here, *train(tiny_backbone))
    command.wait_for("Setting up the rented machine")
    command.kill()
    status, _, errors = Command(lab, here, *train(tiny_backbone)).finish()
    assert status == 0, errors
    assert "Taking up the run" in errors
    assert "Scoring on examples it has never seen" in errors
    assert (here / "reviews-model" / "manifest.json").exists()
    assert lab.states() == ["terminated"]


def test_a_machine_that_the_cloud_takes_back_is_replaced_and_training_goes_on(
    lab: Lab, here: Path, tmp_path: Path
) -> None:
    long_work(here, rows=25_000)
    # so wide that no machine here is done in its minutes: it trains as long as they last, however fast it is
    command = Command(lab, here, *train(make_backbone("bert", tmp_path / "backbone", width=768)))
    command.wait_for("Fine-tuning")
    checkpoint = here / "reviews-model.plaintune-checkpoint" / "state.json"
    lab.wait(checkpoint.exists, 240, "no checkpoint came home")
    lab.take_back()
    command.wait_for("The cloud took the machine back")
    status, _, errors = command.finish()
    assert status == 0, errors
    assert "Going on with an unfinished run" in errors
    assert lab.states() == ["terminated", "terminated"]


def test_the_machine_ends_itself_when_we_are_dead_and_the_metadata_service_is_broken(
    tmp_path: Path, image: Path, here: Path, tiny_backbone: Path
) -> None:
    broken = Lab(tmp_path / "lab", image=image, metadata="broken", minute_seconds=8)
    try:
        broken.start()
        command = Command(broken, here, *train(tiny_backbone))
        command.wait_for("it ends itself at the latest")
        command.kill()
        broken.wait(lambda: set(broken.states()) == {"terminated"}, 300, "it is still there")
    finally:
        broken.stop()


def only_its_owner_reaches_jupyter(lab: Lab, here: Path) -> None:
    """Through the tunnel, with its token; both are gone after Ctrl-C."""
    at_work = Command(lab, here, "cloud", "jupyter", "--port", JUPYTER)
    at_work.wait_for("Ctrl-C ends Jupyter")
    base, token = at_work.out.read_text().strip().split("/lab?token=")
    assert base == f"http://127.0.0.1:{JUPYTER}"

    def status(token: str) -> int:
        asked = urllib.request.Request(f"{base}/api/kernels", headers={"Authorization": f"token {token}"})
        try:
            return int(urllib.request.urlopen(asked, timeout=10).status)
        except urllib.error.HTTPError as refused:
            return refused.code

    assert status(token) == 200
    assert status("guessed") == 403
    seen = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "jupyter-lab" in seen
    assert token not in seen  # by others with a terminal on either machine
    at_work.process.send_signal(signal.SIGINT)
    at_work.finish(60)
    with pytest.raises(urllib.error.URLError):
        status(token)


def test_a_machine_of_ones_own_keeps_its_disk_while_it_is_off_and_can_move(lab: Lab, here: Path) -> None:
    def cloud(*args: object) -> tuple[str, str]:
        status, said, errors = Command(lab, here, "cloud", *args).finish()
        assert status == 0, errors
        return said, errors

    cloud("create", "--gpu", "T4", "--region", "us-east-1", "--yes")
    assert lab.states() == ["running"]
    cloud("ssh", "--", "echo kept > note; ls -a; test ! -e .aws")
    only_its_owner_reaches_jupyter(lab, here)
    assert "running" in cloud("status")[0]
    assert "in use" in cloud("doctor")[0]
    assert "Its disk costs $0.0055 an hour" in cloud("stop")[0]
    assert lab.states() == ["stopped"]
    cloud("doctor", "--end")
    assert lab.states() == ["stopped"]
    cloud("start", "--gpu", "L4", "--yes")
    assert "L4 in us-east-1" in cloud("status")[0]
    assert cloud("ssh", "--", "cat note")[0] == "kept\n"
    cloud("move", "usw2-az1", "--yes")
    assert cloud("ssh", "--", "cat note")[0] == "kept\n"
    assert "L4 in us-west-2" in cloud("status")[0]
    assert sorted(lab.states()) == ["running", "terminated"]
    said, _ = cloud("destroy", "--yes")
    assert "Your machine is gone." in said
    assert set(lab.states()) == {"terminated"}


def test_what_stops_beginners_is_said_before_anything_is_rented(lab: Lab, here: Path) -> None:
    status, said, errors = Command(lab, here, "cloud", "ready").finish()
    assert status == 0, errors
    assert "aws: credentials (account 123456789012): ok" in said
    assert "'All G and VT Spot Instance Requests' in us-east-1" in said
    assert "GPUS_ALL_REGIONS" in said


def test_a_zone_without_the_gpu_is_refused_with_the_nearest_name(lab: Lab, here: Path) -> None:
    status, said, errors = Command(lab, here, "cloud", "test-zone", "use1-az1", "T4").finish()
    assert (status, "Amazon has the T4" in said) == (0, True), errors
    status, _, errors = Command(lab, here, "cloud", "test-zone", "us1-az1", "T4").finish()
    assert (status, "Did you mean 'use1-az1'?" in errors) == (2, True)


def test_skypilots_own_optimiser_settles_on_the_machines_that_are_quoted(tmp_path: Path) -> None:
    chosen = optimizer(tmp_path, SHIPPED_PRICES)
    assert {cloud for cloud, *_ in chosen} == {"aws", "gcp", "azure"}
    for cloud, gpu, spot, theirs in chosen:
        offer, _ = price_list().cheapest(gpu=gpu, cloud=cloud, spot=spot)[0]
        assert (offer.machine, offer.price_usd(spot=spot)) == (theirs["machine"], theirs["usd"]), theirs
