"""A model that was trained under other names, at home: the user's names in all that people read, the bill."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import review_rows, write_csv
from plaintune.compute.homecoming import Bill, settle_in
from plaintune.compute.names import MODEL, Names
from plaintune.compute.parcel import JOB, pack
from plaintune.compute.records import RUN, Rental
from plaintune.core.events import Event, silent
from plaintune.core.settings import TEXTS, Settings
from plaintune.model.folder import Manifest
from plaintune.model.predict import Model

HOUR = 3600.0
RENTAL = Rental(
    "plaintune-1", RUN, "aws", "T4", True, 0.2, 0.5, HOUR, 2 * HOUR, "",
    region="us-east-1", machine="g4dn.xlarge", since=HOUR,
)  # fmt: skip
NAMES = Names({MODEL: "my models/reviews", "sent-data/reviews.csv": "my data/reviews.csv"})
DATA, BACKBONE = "my work/film notes.csv", "my work/tiny"  # as the user calls them
Trained = tuple[Path, dict[str, Any]]


@dataclass(frozen=True)
class Home:
    """A model folder that came home, and the names that it was given."""

    folder: Path
    names: Names
    manifest: Manifest

    @property
    def report(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.read("report.json"))
        return told

    def read(self, file: str) -> str:
        return (self.folder / file).read_text()


@pytest.fixture(scope="module")
def home(trained: Trained, tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A model whose names are taken for those of a machine, half an hour after it was ordered."""
    there, _ = trained
    folder = tmp_path_factory.mktemp("my models") / "mine"
    shutil.copytree(there, folder)
    names = Names({there.name: str(folder), "reviews.csv": DATA, str(tiny_backbone): BACKBONE})
    settle_in(folder, names, Bill.of(RENTAL, now=1.5 * HOUR), silent)
    return Home(folder, names, Model.load(folder).manifest)


def read_by_people(folder: Path) -> str:
    files = [file for file in folder.iterdir() if file.suffix in (".json", ".html", ".md")]
    return "\n".join(file.read_text() for file in files if file.name != "tokenizer.json")


def test_no_file_that_people_read_names_anything_as_the_machine_did(home: Home, trained: Trained) -> None:
    for name in home.names.given:
        assert name in read_by_people(trained[0]), "else this test looks for nothing"
        assert name not in read_by_people(home.folder)


def test_the_report_and_the_manifest_name_what_the_user_named(home: Home) -> None:
    report = home.report
    assert (report["model"], report["place"], report["source"]) == ("mine", str(home.folder), DATA)
    assert report["options"] == {"backbone": BACKBONE}
    assert (home.manifest.data["source"], home.manifest.settings["backbone"]) == (DATA, BACKBONE)
    assert json.loads(home.read("data-check.json"))["source"] == DATA
    assert "<h1>mine</h1>" in home.read("report.html")


def test_the_lines_to_type_can_be_typed_at_home(home: Home) -> None:
    train = shlex.split(home.report["corrections_command"])
    assert train[:5] == ["plaintune", "train", DATA, "--backbone", BACKBONE]
    assert train[train.index("--out") + 1] == str(home.folder)
    measure = next(one for one in home.report["actions"] if one["title"] == "Measure it on newer texts")
    assert shlex.split(measure["command"]) == ["plaintune", "evaluate", str(home.folder), "newer.csv"]
    assert "plaintune predict mine " in home.read("README.md")


def test_what_the_machine_was_and_cost_is_told_wherever_the_run_is(home: Home) -> None:
    machine = "T4 (aws us-east-1, g4dn.xlarge)"
    assert home.report["rental"] == {"machine": machine, "minutes": 30.0, "cost_usd": pytest.approx(0.1)}
    choice = home.manifest.choices[-1]
    assert choice == home.report["choices"][-1]
    assert (choice["value"], choice["reason"]) == (machine, "rented for 30 min, about $0.10")
    for page in ("README.md", "report.html"):
        assert machine in home.read(page)
        assert choice["reason"] in home.read(page)


def test_the_plan_that_comes_home_is_the_one_that_was_followed(home: Home, trained: Trained) -> None:
    assert home.read("plan.json") == (trained[0] / "plan.json").read_text()


def test_where_a_page_cannot_be_drawn_the_user_is_told_how_and_the_rest_is_right(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, heard = tmp_path / "my model", list[Event]()
    shutil.copytree(trained[0], folder)
    monkeypatch.setitem(sys.modules, "plaintune.report.stored", None)  # as without its packages
    settle_in(folder, Names({"reviews.csv": DATA}), Bill.of(RENTAL, now=1.5 * HOUR), heard.append)
    assert heard[0].message.endswith(f"plaintune report {shlex.quote(str(folder))}")
    assert Model.load(folder).manifest.data["source"] == DATA


def test_every_name_that_a_machine_is_given_is_found_again(tmp_path: Path) -> None:
    data = str(write_csv(tmp_path / "my reviews.csv", ["review", "sentiment"], review_rows()))
    (tmp_path / "tiny").mkdir()
    settings = Settings(backbone=str(tmp_path / "tiny"), corrections=(data, data), unlabeled=data, plan=data)
    job = json.loads((pack(tmp_path / "parcel", data, data, settings) / JOB).read_text())
    names = Names.of(data, data, settings, out=tmp_path)
    sent = [
        job["source"],
        job["test"],
        *(job["settings"][kind] for kind in ("backbone", "unlabeled", "plan")),
    ]
    assert {MODEL, *sent, *job["settings"]["corrections"]} == set(names.given)
    at_home = names.at_home(job["settings"])
    assert [at_home[kind] for kind in ("backbone", "unlabeled", "plan")] == [settings.backbone, data, data]
    assert at_home["corrections"] == [data, data]


def test_an_address_and_the_name_of_a_model_on_the_hub_stay_as_they_are(tmp_path: Path) -> None:
    address = "https://example.org/reviews.csv"
    settings = Settings(backbone="org/name")
    job = json.loads((pack(tmp_path / "parcel", address, None, settings) / JOB).read_text())
    assert (job["source"], job["test"], job["settings"]["backbone"]) == (address, None, "org/name")
    assert set(Names.of(address, None, settings, out=tmp_path).given) == {MODEL}


def test_a_name_among_words_is_quoted_where_it_must_be_and_alone_it_is_not() -> None:
    line = "All of them: plaintune check sent-data/reviews.csv --fix cleaned.csv"
    assert NAMES.at_home({"message": line, "values": {"source": "sent-data/reviews.csv", "step": 1}}) == {
        "message": "All of them: plaintune check 'my data/reviews.csv' --fix cleaned.csv",
        "values": {"source": "my data/reviews.csv", "step": 1},
    }


def test_a_name_that_was_quoted_on_the_machine_is_found_and_none_is_replaced_twice() -> None:
    names = Names({"sent-data/my reviews.csv": "reviews.csv", MODEL: "sent-data/my reviews.csv"})
    assert names.at_home("plaintune check 'sent-data/my reviews.csv'") == "plaintune check reviews.csv"
    assert names.at_home("Read sent-data/my reviews.csv (CSV).") == "Read reviews.csv (CSV)."
    assert names.at_home(f"plaintune predict {MODEL}") == "plaintune predict 'sent-data/my reviews.csv'"


def test_texts_of_the_users_stay_as_they_are() -> None:
    mistake = {"line": 2, TEXTS: [["I saw sent-data/reviews.csv there", 0.1]]}
    assert NAMES.at_home({"mistakes": [mistake]}) == {"mistakes": [mistake]}
