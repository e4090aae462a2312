"""Amazon's own interface, asked without SkyPilot: what runs under our tag, and ending it.

Run by the Python of the cloud environment, which has boto3; plaintune itself never imports this file.

    python ec2.py list '{"regions": null}'

Exit codes: 0 and JSON on stdout; 3 where the credentials are missing or refused; 1 for anything else.
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConfigParseError,
    CredentialRetrievalError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

TAG = "plaintune-rental"
ALIVE = ["pending", "running", "stopping", "stopped"]
REFUSED = (
    "AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch",
    "ExpiredToken", "ExpiredTokenException", "RequestExpired",
)  # fmt: skip
NO_CREDENTIALS = (
    NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, ProfileNotFound, ConfigParseError,
    SSOError, TokenRetrievalError,
)  # fmt: skip
CLOSED = ("UnauthorizedOperation", "AccessDenied", "OptInRequired", "AuthFailure")  # to us, of one region
GPU_QUOTAS = {"on_demand_cpus": "L-DB2E81BA", "spot_cpus": "L-3819A6DF"}  # of the G and VT families
QUICK = Config(connect_timeout=10, read_timeout=30, retries={"max_attempts": 3})


def ec2(region: str) -> Any:
    return boto3.client("ec2", region_name=region, config=QUICK)


def all_regions() -> list[str]:
    home = boto3.session.Session().region_name or "us-east-1"
    return sorted(each["RegionName"] for each in ec2(home).describe_regions()["Regions"])


def instances_in(region: str) -> list[dict[str, Any]]:
    """Everything of ours in a region that is not gone for good."""
    wanted = [
        {"Name": "tag-key", "Values": [TAG]},
        {"Name": "instance-state-name", "Values": ALIVE},
    ]
    pages = ec2(region).get_paginator("describe_instances").paginate(Filters=wanted)
    found = [each for page in pages for group in page["Reservations"] for each in group["Instances"]]
    return [
        {
            "id": each["InstanceId"],
            "region": region,
            "zone": each["Placement"]["AvailabilityZone"],
            "type": each["InstanceType"],
            "state": each["State"]["Name"],
            "spot": each.get("InstanceLifecycle") == "spot",
            "since": each["LaunchTime"].timestamp(),
            "tags": {tag["Key"]: tag["Value"] for tag in each.get("Tags", ())},
        }
        for each in found
    ]


def code_of(error: Exception) -> str:
    """Amazon's short word for what went wrong."""
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__


def list_instances(regions: list[str] | None, rental: str | None = None) -> dict[str, Any]:
    """The account, what of ours is there, and the regions that did not say: {region: why}.

    ``closed`` regions are not open to these credentials, so nothing can have been rented there by them;
    ``silent`` ones might hold something. Raises where no region at all answers.
    """
    asked = regions or all_regions()
    with ThreadPoolExecutor(8) as threads:
        answers = list(zip(asked, threads.map(_instances_or_error, asked), strict=True))
    errors = {region: answer for region, answer in answers if isinstance(answer, Exception)}
    if len(errors) == len(asked):
        raise next(iter(errors.values()))
    codes = {region: code_of(error) for region, error in errors.items()}
    found = [one for _, answer in answers if not isinstance(answer, Exception) for one in answer]
    return {
        **account(),
        "found": [one for one in found if rental in (None, one["tags"][TAG])],
        "closed": {region: code for region, code in codes.items() if code in CLOSED},
        "silent": {region: code for region, code in codes.items() if code not in CLOSED},
    }


def _instances_or_error(region: str) -> list[dict[str, Any]] | Exception:
    try:
        return instances_in(region)
    except (ClientError, BotoCoreError) as error:
        refused: Exception = error
        return refused


def terminate(instances: list[dict[str, str]]) -> list[str]:
    return each_of(instances, lambda one: ec2(one["region"]).terminate_instances(InstanceIds=[one["id"]]))


def each_of(instances: list[dict[str, str]], do: Callable[[dict[str, str]], Any]) -> list[str]:
    """Do it to every one, whatever the others say; raises the first refusal after the last."""
    refused: list[Exception] = []
    for one in instances:
        try:
            do(one)
        except (ClientError, BotoCoreError) as error:
            if code_of(error) != "InvalidInstanceID.NotFound":  # gone already
                refused.append(error)
    if refused:
        raise refused[0]
    return [one["id"] for one in instances]


def die_on_shutdown(instances: list[dict[str, str]]) -> list[str]:
    """Make powering off from within the end of an instance, its disk and its bill."""
    for each in instances:
        ec2(each["region"]).modify_instance_attribute(
            InstanceId=each["id"], Attribute="instanceInitiatedShutdownBehavior", Value="terminate"
        )
    return [each["id"] for each in instances]


def stop(instances: list[dict[str, str]]) -> list[str]:
    return each_of(instances, lambda one: ec2(one["region"]).stop_instances(InstanceIds=[one["id"]]))


def change_type(instances: list[dict[str, str]], type: str, gpu: str) -> list[str]:
    """Another kind of machine, which has its card in it, for a stopped instance; the disk stays."""
    for each in instances:
        changed = {"InstanceId": each["id"], "InstanceType": {"Value": type}}
        ec2(each["region"]).modify_instance_attribute(**changed)
    return [each["id"] for each in instances]


def tag(instances: list[dict[str, str]], tags: dict[str, str]) -> list[str]:
    written = [{"Key": key, "Value": value} for key, value in tags.items()]
    for each in instances:
        ec2(each["region"]).create_tags(Resources=[each["id"]], Tags=written)
    return [each["id"] for each in instances]


def sold_in(region: str, zone: str, type: str, gpu: str) -> bool:
    """Whether a zone (by name or by number) has this kind of machine at all."""
    for kind, value in (("availability-zone", zone), ("availability-zone-id", zone)):
        wanted = [{"Name": "location", "Values": [value]}, {"Name": "instance-type", "Values": [type]}]
        offers = ec2(region).describe_instance_type_offerings(LocationType=kind, Filters=wanted)
        if offers["InstanceTypeOfferings"]:
            return True
    return False


def zone_name(region: str, zone: str) -> str:
    """What this account calls a zone: its number is the same for everybody, its name is not."""
    zones = ec2(region).describe_availability_zones()["AvailabilityZones"]
    return str(next(each["ZoneName"] for each in zones if zone in (each["ZoneId"], each["ZoneName"])))


def leftover_volumes(regions: list[str] | None, rental: str | None = None) -> list[dict[str, Any]]:
    """Disks of ours that belong to no machine, in the regions that answer."""
    ours = (
        {"Name": "tag-key", "Values": [TAG]} if rental is None else {"Name": f"tag:{TAG}", "Values": [rental]}
    )
    wanted = [ours, {"Name": "status", "Values": ["available"]}]

    def look(region: str) -> list[dict[str, Any]]:
        try:
            volumes = ec2(region).describe_volumes(Filters=wanted)["Volumes"]
        except (ClientError, BotoCoreError):
            return []
        return [{"id": each["VolumeId"], "region": region, "size_gib": each["Size"]} for each in volumes]

    with ThreadPoolExecutor(8) as threads:
        return [one for several in threads.map(look, regions or all_regions()) for one in several]


def delete_volumes(volumes: list[dict[str, str]]) -> list[str]:
    for each in volumes:
        ec2(each["region"]).delete_volume(VolumeId=each["id"])
    return [each["id"] for each in volumes]


def spot_price(region: str, zone: str, type: str) -> float | None:
    """Dollars an hour at this moment."""
    asked = {"InstanceTypes": [type], "AvailabilityZone": zone, "ProductDescriptions": ["Linux/UNIX"]}
    history = ec2(region).describe_spot_price_history(**asked, MaxResults=1)["SpotPriceHistory"]
    return float(history[0]["SpotPrice"]) if history else None


def account() -> dict[str, str]:
    return {"account": boto3.client("sts", config=QUICK).get_caller_identity()["Account"]}


def gpu_quotas(region: str) -> dict[str, float | None]:
    """How many processor cores of GPU machines the account may have at once; None where it is not said."""
    quotas = boto3.client("service-quotas", region_name=region, config=QUICK)
    found: dict[str, float | None] = {}
    for name, code in GPU_QUOTAS.items():
        try:
            found[name] = quotas.get_service_quota(ServiceCode="ec2", QuotaCode=code)["Quota"]["Value"]
        except ClientError:
            found[name] = None
    return found


def is_paid() -> None:
    """Amazon does not tell programs whether an account has a way of paying."""


QUESTIONS: dict[str, Callable[..., Any]] = {
    "list": list_instances,
    "terminate": terminate,
    "die_on_shutdown": die_on_shutdown,
    "stop": stop,
    "change_type": change_type,
    "tag": tag,
    "sold_in": sold_in,
    "zone_name": zone_name,
    "leftover_volumes": leftover_volumes,
    "delete_volumes": delete_volumes,
    "spot_price": spot_price,
    "account": account,
    "gpu_quotas": gpu_quotas,
    "is_paid": is_paid,
}

if __name__ == "__main__":
    try:
        print(json.dumps(QUESTIONS[sys.argv[1]](**json.loads(sys.argv[2]))))
    except NO_CREDENTIALS as error:
        print(error, file=sys.stderr)
        sys.exit(3)
    except (ClientError, BotoCoreError) as error:
        print(error, file=sys.stderr)
        sys.exit(3 if code_of(error) in REFUSED else 1)
