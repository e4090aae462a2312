"""A cloud on this machine's loopback: moto keeps the books, a real sshd is the machine, SkyPilot is real.

Nothing of plaintune or SkyPilot is replaced; what is made up is other people's machines, prices and time.
`make test-cloud` installs what it needs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from cloud.catalogue import ZONES, seed_catalogue
from plaintune.compute.engine import VERSION
from plaintune.compute.parcel import WITHOUT_GPU, setup_key

HERE = Path(__file__).parent
ENVIRONMENT = Path(os.environ.get("PLAINTUNE_LAB", HERE.parents[1] / ".venv-cloud"))
PROGRAMS = ("rsync", "ssh", "lsof", "unshare", "setpriv", "sudo", "ip", "slirp4netns", "/usr/sbin/sshd")
LINK, HERE_ON_LINK, CLOUD_ON_LINK = "plaintune-lab", "10.199.0.1", "10.199.0.2"  # between us and the cloud
PUBLIC_ADDRESSES = "54.214.0.0/16"  # of machines, as moto makes them up
STREET = "172.31.0.0/16"  # where machines stand: moto's network in every region
MOTO_PORT, SKY_PORT = 18700, 18780
SECONDS_TO_START = 90
PROBE = 'mount -t overlay overlay -o "lowerdir=/,upperdir=$0/upper,workdir=$0/work" "$0/root"'


@cache
def why_not() -> str | None:
    """Why the lab cannot be set up here, or None."""
    return forbidden() or _missing()


def forbidden() -> str | None:
    """Why no package that could be installed would help, or None: tried out, as a container may be root."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "needs root on Linux, for namespaces and an overlay mount"
    if not Path("/dev/net/tun").exists():
        return "needs /dev/net/tun, for the way of its machines into the internet"
    with tempfile.TemporaryDirectory() as folder:
        for name in ("upper", "work", "root"):
            Path(folder, name).mkdir()
        try:
            os.setxattr(Path(folder, "upper"), "trusted.overlay.opaque", b"y")
            subprocess.run(
                ["unshare", "--mount", "--pid", "--net", "--fork", "--uts", "bash", "-c", PROBE, folder],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=30,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1:]
            return f"needs namespaces and an overlay mount, which are not allowed here ({''.join(said)})"
    return None


def _missing() -> str | None:
    """What make test-cloud would install, or None."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"needs {', '.join(missing)}: make test-cloud installs them"
    if not (ENVIRONMENT / "bin" / "moto_server").exists():
        return f"needs SkyPilot and moto in {ENVIRONMENT}: make test-cloud installs them"
    return None if _old_python() else "needs Python 3.8 to 3.11 as python3.10 or python3.11, for Ray 2.9"


def _old_python() -> str | None:
    """The interpreter of the machine's SkyPilot; a real path, as the host's wrappers do not work there."""
    for name in ("python3.10", "python3.11", sys.executable):
        if (found := shutil.which(name)) is not None:
            asked = [found, "-c", "import os, sys; print(os.path.realpath(sys.executable))"]
            done = subprocess.run(asked, capture_output=True, text=True, check=False)
            if done.returncode == 0:
                return done.stdout.strip()
    return None


class Lab:
    """One cloud, empty at first; `stop` ends every process and mount of it."""

    def __init__(
        self, root: Path, *, image: Path, metadata: str = "works", minute_seconds: float = 60
    ) -> None:
        self.root, self.image = root, image
        self.user, self.home = root / "user", root / "plaintune"
        self.settings = self._settings(metadata, minute_seconds)
        self.processes: subprocess.Popen[bytes] | None = None
        self.internet: subprocess.Popen[bytes] | None = None

    def start(self) -> Lab:
        """Moto and the rack, with the engine's environment in place; bakes the machine's image if need be."""
        self._write_homes()
        self._bake()
        with (self.root / "rack.log").open("ab") as log:
            self.processes = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc", "--kill-child", "bash",
                 "-c", '"$@"; exit $?', "lab", self.settings["LAB_PYTHON"], str(HERE / "rack.py"),
                 str(self.root)],
                env={**os.environ, **self.environment, **self.settings}, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self._connect(self.processes.pid)
        self.wait((self.root / "ready").exists, SECONDS_TO_START, "the cloud does not start")
        return self

    def stop(self) -> None:
        """End SkyPilot's server, then everything else."""
        sky = self.home / "cloud" / f"skypilot-{VERSION}" / "bin" / "sky"
        env = {**os.environ, **self.environment, "HOME": str(self.home / "cloud" / "home")}
        subprocess.run([str(sky), "api", "stop"], env=env, capture_output=True, check=False, timeout=120)
        if self.processes is not None:
            children = Path(f"/proc/{self.processes.pid}/task/{self.processes.pid}/children")
            for child in children.read_text().split() if children.exists() else ():
                os.kill(int(child), 9)  # the first of its PID namespace: every other process follows
            self.processes.wait(timeout=30)
        if self.internet is not None:
            self.internet.kill()
            self.internet.wait()

    def _connect(self, rack: int) -> None:
        """From here a link into the network of the process ``rack``, from there a way into the internet.

        Nothing else of this machine's network is changed, and the link goes with the process.
        """
        ours = os.readlink("/proc/self/ns/net")
        self.wait(lambda: os.readlink(f"/proc/{rack}/ns/net") != ours, 10, "the cloud has no network")
        for command in (
            f"ip link add {LINK} type veth peer name here netns {rack}",
            f"ip address add {HERE_ON_LINK}/30 dev {LINK}",
            f"ip link set {LINK} up",
            f"ip route add {PUBLIC_ADDRESSES} via {CLOUD_ON_LINK}",
        ):
            subprocess.run(command.split(), check=True)
        with (self.root / "internet.log").open("wb") as log:
            self.internet = subprocess.Popen(
                ["slirp4netns", "--disable-host-loopback", f"--cidr={STREET}", str(rack), "internet"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        """What a user of this cloud has in the environment."""
        return {
            "HOME": str(self.user),
            "PLAINTUNE_HOME": str(self.home),
            "AWS_ENDPOINT_URL": f"http://{CLOUD_ON_LINK}:{MOTO_PORT}",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_SHARED_CREDENTIALS_FILE": str(self.user / ".aws" / "credentials"),
            "AWS_CONFIG_FILE": str(self.user / ".aws" / "config"),
            "SKYPILOT_API_SERVER_LOCAL_PORT": str(SKY_PORT),
            WITHOUT_GPU: "1",
        }

    def instances(self) -> list[dict[str, Any]]:
        """Every instance that was ever rented here, as EC2 tells it."""
        code = (
            "import boto3, json\n"
            f"for region in {list(ZONES)!r}:\n"
            "    for page in boto3.client('ec2', region_name=region).describe_instances()['Reservations']:\n"
            "        for one in page['Instances']:\n"
            "            print(json.dumps({'id': one['InstanceId'], 'region': region,"
            " 'state': one['State']['Name']}))\n"
        )
        return [json.loads(line) for line in self.as_client(code).splitlines()]

    def states(self) -> list[str]:
        """EC2's word for each instance."""
        return [one["state"] for one in self.instances()]

    def take_back(self) -> None:
        """What a cloud does to a spot machine when it wants it back."""
        for one in self.instances():
            if one["state"] == "running":
                self.as_client(
                    f"import boto3; boto3.client('ec2', region_name={one['region']!r})"
                    f".terminate_instances(InstanceIds=[{one['id']!r}])"
                )

    def as_client(self, code: str) -> str:
        """The output of some Python with boto3, as the user of this cloud."""
        python = str(ENVIRONMENT / "bin" / "python")
        env = {**os.environ, **self.environment}
        return subprocess.run(
            [python, "-c", code], env=env, capture_output=True, text=True, check=True, timeout=60
        ).stdout

    @staticmethod
    def wait(until: Callable[[], bool], seconds: float, otherwise: str) -> None:
        """Wait for the cloud; AssertionError ``otherwise``."""
        end = time.monotonic() + seconds
        while not until():
            assert time.monotonic() < end, otherwise
            time.sleep(0.5)

    def _settings(self, metadata: str, minute_seconds: float) -> dict[str, str]:
        packages = sysconfig.get_paths()["purelib"]
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        old = _old_python() or ""
        shown = dict.fromkeys((packages, sys.base_prefix, str(Path(old).parents[1])))
        return {
            "LAB_DIR": str(self.root),
            "LAB_IMAGE": str(self.image),
            "LAB_PYTHON": str(ENVIRONMENT / "bin" / "python"),
            "LAB_UV": str(ENVIRONMENT / "bin" / "uv"),
            "LAB_MACHINE_PYTHON": old,
            "LAB_LINK": f"{HERE_ON_LINK} {CLOUD_ON_LINK} {PUBLIC_ADDRESSES}",
            "LAB_MOTO_PORT": str(MOTO_PORT),
            "LAB_METADATA": metadata,
            "LAB_MINUTE_SECONDS": str(minute_seconds),
            "LAB_SHOW": " ".join(path for path in shown if path != "/usr"),
            "LAB_TEST_PACKAGES": f"{sys.base_prefix}/bin/python{version} {packages} {version} {setup_key()}",
            "LAB_MACHINE_ENV": "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
        }

    def _write_homes(self) -> None:
        engine = self.home / "cloud"
        for folder in (self.user / ".aws", engine / "home", self.root / "machines"):
            folder.mkdir(parents=True)
        (ENVIRONMENT / "ready").touch()
        (engine / f"skypilot-{VERSION}").symlink_to(ENVIRONMENT)
        seed_catalogue(engine / "home")
        (self.user / ".aws" / "config").write_text("[default]\nregion = us-east-1\n")
        key = "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = lab\n"
        (self.user / ".aws" / "credentials").write_text(key)

    def _bake(self) -> None:
        """The machine's image: once for a session."""
        if self.image.exists():
            return
        asked = "import sky, sky.skylet.constants as c; print(sky.__version__, c.SKY_REMOTE_RAY_VERSION)"
        env = {**os.environ, **self.environment, **self.settings}
        env["LAB_IMAGE_VERSIONS"] = self.as_client(asked).strip()
        with (self.root / "image.log").open("wb") as log:
            done = subprocess.run(
                ["unshare", "--mount", "--pid", "--fork", "--uts", "--kill-child", str(HERE / "machine.sh"),
                 "image", str(self.image)],
                env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False,
            )  # fmt: skip
        assert done.returncode == 0, (self.root / "image.log").read_text(errors="replace")[-3000:]


if __name__ == "__main__":
    sys.exit(forbidden())
