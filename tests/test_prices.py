"""Prices and quotes: dated, for people without an account, and never without a word on what they rest on."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from conftest import Cli
from plaintune.compute.gpus import BY_NAME
from plaintune.compute.prices import SHIPPED_DATE, fetch_prices, offers_of_catalogue, price_list
from plaintune.compute.rented import SETUP_MINUTES, Work, minutes_on, rented_quotes
from plaintune.core.errors import UserError

GCP_COLUMNS = (
    "InstanceType,vCPUs,MemoryGiB,AcceleratorName,AcceleratorCount,GpuInfo,Region,AvailabilityZone,"
    "Price,SpotPrice\n"
)
AWS_COLUMNS = (
    "InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,"
    "AvailabilityZone,Arch\n"
)
GCP = f"""{GCP_COLUMNS}\
n1-standard-4,4,15,,,,us-central1,us-central1-a,0.19,0.05
n1-standard-8,8,30,,,,us-central1,us-central1-a,0.38,0.10
,,,T4,1,x,us-central1,us-central1-a,0.35,0.14
,,,T4,2,x,us-central1,us-central1-a,0.70,0.28
,,,L4,1,x,us-central1,us-central1-a,0.56,
"""
AWS = f"""{AWS_COLUMNS}\
g4dn.2xlarge,T4,1.0,8.0,32.0,x,0.752,0.30,us-east-1,use1-az1,x86_64
g4dn.xlarge,T4,1.0,4.0,16.0,x,0.526,0.20,us-east-1,use1-az1,x86_64
m6i.large,,,2.0,8.0,,0.096,0.03,us-east-1,use1-az1,x86_64
"""


AZURE = """\
InstanceType,AcceleratorName,AcceleratorCount,vCPUs,MemoryGiB,GpuInfo,Price,SpotPrice,Region,Generation
Standard_NC4as_T4_v3,T4,1.0,4.0,28,T4,0.526,0.06,eastus,"V1,V2"
Standard_NC8as_T4_v3,T4,1.0,8.0,56,T4,0.752,0.08,eastus,"V1,V2"
Standard_NC40ads_H100_v5,H100,1.0,40.0,320,H100,0.0,0.0,eastus,V2
"""


def test_the_shipped_list_names_gpus_whose_speed_is_known() -> None:
    prices = price_list()
    assert {offer.gpu for offer in prices.offers} <= set(BY_NAME)
    assert {"aws", "gcp", "azure"} <= {offer.cloud for offer in prices.offers}
    assert all(
        0.05 < (offer.spot_usd or offer.on_demand_usd) <= offer.on_demand_usd < 10 for offer in prices.offers
    )


def test_the_date_of_the_prices_is_always_shown(cli: Cli, tmp_path: Path) -> None:
    shown = cli("cloud", "gpus", cwd=tmp_path, PLAINTUNE_HOME=str(tmp_path))
    assert shown.returncode == 0, shown.stderr
    assert SHIPPED_DATE in shown.stdout
    assert "T4" in shown.stdout


def test_gpus_come_cheapest_first_with_every_zone_of_one(cli: Cli, tmp_path: Path) -> None:
    shown = cli("cloud", "gpus", "--gpu", "T4", "--cloud", "aws", "--json", cwd=tmp_path)
    offers = json.loads(shown.stdout)["offers"]
    spot = [offer["spot_usd"] for offer in offers]
    assert len(offers) > 10
    assert spot == sorted(spot)


def test_an_unknown_gpu_is_refused_with_the_nearest_name(cli: Cli, tmp_path: Path) -> None:
    refused = cli("cloud", "gpus", "--gpu", "A10", cwd=tmp_path)
    assert refused.returncode == 2
    assert "Did you mean 'A10G'?" in refused.stderr


def test_on_google_a_card_and_its_host_are_one_price() -> None:
    offers = offers_of_catalogue("gcp", GCP)
    assert [(o.gpu, o.machine, round(o.on_demand_usd, 2), o.spot_usd) for o in offers] == [
        ("T4", "n1-standard-4", 0.54, pytest.approx(0.19))
    ]


def test_of_machines_with_the_same_card_the_smallest_is_offered() -> None:
    assert [o.machine for o in offers_of_catalogue("aws", AWS)] == ["g4dn.xlarge"]


def test_azure_has_no_zones_and_a_price_of_nothing_is_no_price() -> None:
    (offer,) = offers_of_catalogue("azure", AZURE)
    assert (offer.machine, offer.place, offer.on_demand_usd) == ("Standard_NC4as_T4_v3", "eastus", 0.526)


def test_fetched_prices_replace_the_shipped_ones_and_carry_their_date(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalogues = {"aws": AWS, "gcp": GCP, "azure": AZURE, "lambda": AWS_COLUMNS}
    monkeypatch.setattr("plaintune.compute.prices._download", catalogues.__getitem__)
    fetched = fetch_prices(tmp_path / "prices.csv", today=date(2027, 1, 2))
    assert (fetched.taken, len(fetched.offers), fetched.fetched) == ("2027-01-02", 3, True)
    assert price_list(tmp_path / "prices.csv") == fetched


def test_without_a_network_refresh_says_so_and_the_shipped_list_stays(cli: Cli, tmp_path: Path) -> None:
    nowhere = {"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}
    refused = cli("cloud", "gpus", "--refresh", cwd=tmp_path, PLAINTUNE_HOME=str(tmp_path), **nowhere)
    assert refused.returncode == 2
    assert f"the list of {SHIPPED_DATE}" in refused.stderr


def test_prices_that_were_fetched_before_this_release_do_not_win_over_its_own(tmp_path: Path) -> None:
    kept = tmp_path / "prices.csv"
    rows = "Cloud,InstanceType,AcceleratorName,Price,SpotPrice,Region,AvailabilityZone\naws,x,T4,1,,r,z\n"
    kept.write_text(f"2026-01-01\n{rows}")
    assert price_list(kept).taken == SHIPPED_DATE
    kept.write_text(f"2099-01-01\n{rows}")
    assert price_list(kept).taken == "2099-01-01"


def test_a_damaged_price_file_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("half a li")
    assert price_list(tmp_path / "prices.csv").taken == SHIPPED_DATE


def test_a_faster_card_takes_less_time_and_setting_up_is_counted() -> None:
    work = Work(tokens=5_000_000, epochs=3)
    assert minutes_on("H100", work) < minutes_on("L4", work) < minutes_on("T4", work)
    assert minutes_on("H100", Work(tokens=0, epochs=0, other_seconds=0)) == SETUP_MINUTES


def test_quotes_are_cheapest_first_spot_and_on_demand_with_the_date() -> None:
    quotes = rented_quotes(Work(tokens=1_000_000, epochs=3), price_list())
    costs = [quote.cost_usd for quote in quotes]
    assert costs == sorted(costs)
    assert {quote.spot for quote in quotes} == {True, False}
    assert {quote.price_date for quote in quotes} == {SHIPPED_DATE}
    assert quotes[0].cost_usd == pytest.approx(quotes[0].price_usd * quotes[0].minutes / 60)


def test_a_quote_for_an_unknown_cloud_is_refused() -> None:
    with pytest.raises(UserError, match="no cloud called 'awz'"):
        rented_quotes(Work(1, 1), price_list(), cloud="awz")
