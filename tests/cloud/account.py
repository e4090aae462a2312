"""Make moto's empty account look like one that SkyPilot has used before.

The default network has no way out in a fresh moto, so SkyPilot sees private subnets only; and its role cannot
be made by SkyPilot, as moto refuses the policy (Amazon takes it).
"""

from __future__ import annotations

import json
from typing import Any

import boto3

ROLE = "skypilot-v1"  # in sky.provision.aws.config the profile and the role are called this


def open_account(regions: list[str]) -> None:
    """A role, and a default network with a gateway in each region."""
    iam = boto3.client("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
        ],
    }
    iam.create_role(RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(trust))
    iam.create_instance_profile(InstanceProfileName=ROLE)
    iam.add_role_to_instance_profile(InstanceProfileName=ROLE, RoleName=ROLE)
    for region in regions:
        _open_network(boto3.client("ec2", region_name=region))


def _open_network(ec2: Any) -> None:
    network = ec2.describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]["VpcId"]
    gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=network)
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [network]}])["RouteTables"]
    ec2.create_route(
        RouteTableId=tables[0]["RouteTableId"], DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
    )
