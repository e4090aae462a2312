"""What differs from cloud to cloud where machines are rented: names, credentials, what to type or click."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import UserError

PAID_THOUGH_OFF = "off but paid for"  # the state of a machine of Azure's that powered off and no more


class NoCredentials(UserError):
    """A cloud does not accept the user's credentials, or there are none."""


@dataclass(frozen=True)
class Cloud:
    """A cloud that machines are rented from, because it is known how to make sure that they end."""

    name: str  # as in --cloud, the price list and SkyPilot
    company: str
    interface: str  # the program beside this one that asks the cloud itself
    variables: tuple[str, ...]  # of the environment that its programs read, by how they begin
    folders: dict[str, str]  # where those look, within the home folder, by the variable that says so
    signs: tuple[str, ...]  # that there are credentials: variables, and files within the home folder
    log_in: str  # what to type for credentials
    other_account: str  # what to type for those of another account
    quota: str  # what to do where the account may not have a GPU yet
    quota_names: dict[str, str]  # as `gpu_quotas` of the interface calls them, and as the cloud does
    quotas: str  # the page with them
    least_quota: int  # for the smallest machine with a GPU
    quota_unit: str
    usual_region: str
    stops_spot: bool  # whether a spot machine can be switched off and keep its disk
    disk_usd_per_gib_month: float  # its usual disk at the public price of the usual region
    leaving: str  # what it asks for data that leave it
    billing: str
    trial: str  # what a new account has to know about paying
    apart: str = ""  # the part of SkyPilot that is installed where it is rented from, and not before
    ends_in_setup: str = (
        ""  # the script that ends a machine, where SkyPilot has no place for it before set-up
    )
    off_is_paid: bool = False  # one that only powers off is paid for until the cloud is asked to stop it
    services: str = ""  # what to type for parts of it that an account may not have opened: {names}

    def no_credentials(self, said: str) -> NoCredentials:
        """The cloud does not know the user."""
        return NoCredentials(
            f"{self.company}'s cloud does not accept your credentials, or there are none "
            f"({said.strip()[-200:]}).",
            self.log_in,
        )

    def has_credentials(self) -> bool:
        """Whether there seem to be credentials for it; only asking it shows what they are good for."""
        return any(
            os.environ.get(sign) or ("/" in sign and (Path.home() / sign).exists()) for sign in self.signs
        )


AWS = Cloud(
    name="aws",
    company="Amazon",
    interface="ec2.py",
    variables=("AWS_",),
    folders={"AWS_SHARED_CREDENTIALS_FILE": ".aws/credentials", "AWS_CONFIG_FILE": ".aws/config"},
    signs=(
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        ".aws/credentials",
        ".aws/config",
    ),
    log_in="Get an access key at https://console.aws.amazon.com/iam (Users, Security credentials), then "
    "type: aws configure",
    other_account="export AWS_PROFILE=NAME",
    quota="Ask for 4 of 'All G and VT Spot Instance Requests' and 4 of 'Running On-Demand G and VT "
    "instances' at https://console.aws.amazon.com/servicequotas; it takes minutes to two days.",
    quota_names={
        "spot_cpus": "All G and VT Spot Instance Requests",
        "on_demand_cpus": "Running On-Demand G and VT instances",
    },
    quotas="https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas",
    least_quota=4,
    quota_unit="vCPUs",
    usual_region="us-east-1",
    stops_spot=False,
    disk_usd_per_gib_month=0.08,
    leaving="Amazon asks about $0.09 for each GB that leaves it, after the first 100 GB of a month.",
    billing="https://console.aws.amazon.com/billing",
    trial="New accounts may have a trial credit",
)
GCP = Cloud(
    name="gcp",
    company="Google",
    interface="gce.py",
    variables=("GOOGLE_", "CLOUDSDK_"),
    folders={"CLOUDSDK_CONFIG": ".config/gcloud"},
    signs=("GOOGLE_APPLICATION_CREDENTIALS", ".config/gcloud/application_default_credentials.json"),
    log_in="Install the gcloud program (https://cloud.google.com/sdk/docs/install), then type: gcloud init "
    "&& gcloud auth application-default login",
    other_account="gcloud config set project NAME",
    quota="Open https://console.cloud.google.com/iam-admin/quotas, choose GPUS_ALL_REGIONS (it is 0 in a new "
    "account), and ask for 1; a trial account gets no GPU before you press 'Upgrade' on its page of bills.",
    quota_names={
        "all_regions": "GPUS_ALL_REGIONS",
        "spot_cards": "PREEMPTIBLE_NVIDIA_T4_GPUS",
        "on_demand_cards": "NVIDIA_T4_GPUS",
    },
    quotas="https://console.cloud.google.com/iam-admin/quotas",
    least_quota=1,
    quota_unit="GPU",
    usual_region="us-central1",
    stops_spot=True,
    disk_usd_per_gib_month=0.10,
    leaving="Google asks about $0.12 for each GB that leaves it.",
    billing="https://console.cloud.google.com/billing",
    trial="A trial account gets no GPU until you press 'Upgrade' there",
    ends_in_setup="end_at_google.sh",
)
AZURE = Cloud(
    name="azure",
    company="Microsoft",
    interface="azure_vm.py",
    variables=("AZURE_",),
    folders={"AZURE_CONFIG_DIR": ".azure"},
    signs=("AZURE_CONFIG_DIR", ".azure/msal_token_cache.json"),
    log_in="Type: az login. Where that program is missing: https://aka.ms/azure-cli",
    other_account="az account set --subscription NAME",
    quota="Open https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade/~/myQuotas, choose "
    "Compute, and ask for 4 of 'Standard NCASv3_T4 Family vCPUs' (0 in a new subscription), and for 4 of "
    "'Total Regional Spot vCPUs'; a free trial gets neither before it is upgraded.",
    quota_names={
        "spot_cpus": "Total Regional Spot vCPUs",
        "on_demand_cpus": "Standard NCASv3_T4 Family vCPUs",
        "all_cpus": "Total Regional vCPUs",
    },
    quotas="https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade/~/myQuotas",
    least_quota=4,
    quota_unit="vCPUs",
    usual_region="eastus",
    stops_spot=False,  # Azure could; SkyPilot does not
    disk_usd_per_gib_month=0.28,  # an estimate: 64 GiB of premium disk and an address, shared out on 50 GiB
    leaving="Microsoft asks about $0.09 for each GB that leaves it, after the first 100 GB of a month.",
    billing="https://portal.azure.com/#view/Microsoft_Azure_Billing/SubscriptionsBlade",
    trial="A free trial gets no GPU until you press 'Upgrade' there",
    apart="azure",
    ends_in_setup="end_at_azure.sh",
    off_is_paid=True,
    services="for s in {names}; do az provider register --namespace $s; done",
)
CLOUDS = {cloud.name: cloud for cloud in (AWS, GCP, AZURE)}


def open_to_user() -> tuple[str, ...]:
    """The clouds that there seem to be credentials for; Amazon's where there are none: its errors say how."""
    return tuple(name for name, cloud in CLOUDS.items() if cloud.has_credentials()) or (AWS.name,)
