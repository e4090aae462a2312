"""SkyPilot, which knows the clouds: in an environment of its own, driven as a program, never imported here.

It weighs 800 MB and pins old versions of common libraries, so it is not a dependency. It gets a home folder
of its own as well: nothing of the user's own SkyPilot or SSH settings is read or changed, only the cloud
credentials are shown to it. Its telemetry is off.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.events import Listener, note, stage
from .records import cloud_folder

VERSION = "0.14.1"
PACKAGES = (f"skypilot[aws,gcp]=={VERSION}",)
SERVER_PORT = "46590"  # not SkyPilot's own: a server of the user's goes on undisturbed
NEEDED_PROGRAMS = ("ssh", "rsync")
CALL_SECONDS = 120
STOP_SECONDS = 30


@dataclass(frozen=True)
class Engine:
    """An environment with SkyPilot in it."""

    folder: Path  # the environment
    home: Path  # what SkyPilot takes for the home folder

    @property
    def python(self) -> Path:
        """The interpreter of that environment."""
        return self.folder / "bin" / "python"

    def environment(self) -> dict[str, str]:
        """What its programs see: the user's cloud credentials where they are, everything else aside."""
        mine = Path.home()
        given = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        defaults = {
            "AWS_SHARED_CREDENTIALS_FILE": str(mine / ".aws" / "credentials"),
            "AWS_CONFIG_FILE": str(mine / ".aws" / "config"),
            "CLOUDSDK_CONFIG": str(mine / ".config" / "gcloud"),
            "SKYPILOT_API_SERVER_LOCAL_PORT": SERVER_PORT,
        }
        return {
            **defaults,
            **given,
            "HOME": str(self.home),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
            "NO_COLOR": "1",
        }

    def sky(self, *arguments: str, log: Path, seconds: float | None = None) -> str:
        """Run a command of SkyPilot, kept in ``log``; gives its words. Raises SkyFailed, TimeoutExpired."""
        with log.open("a", encoding="utf-8") as file:
            file.write(f"\n$ sky {' '.join(arguments)}\n")
            file.flush()
            begun = file.tell()
            status = subprocess.run(
                [str(self.folder / "bin" / "sky"), *arguments],
                env=self.environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file, timeout=seconds,
                check=False, start_new_session=True,
            ).returncode  # fmt: skip
        said = log.read_text(encoding="utf-8", errors="replace")[begun:]
        if status != 0:
            raise SkyFailed(said)
        return said

    def ask_aws(self, what: str, **request: Any) -> Any:
        """An answer of Amazon's own interface, by `ec2.py`. Raises CloudAway, TimeoutExpired, UserError."""
        done = subprocess.run(
            [str(self.python), str(Path(__file__).with_name("ec2.py")), what, json.dumps(request)],
            env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=CALL_SECONDS, check=False, start_new_session=True,
        )  # fmt: skip
        if done.returncode == 3:
            raise no_credentials(done.stderr)
        if done.returncode != 0:
            raise CloudAway(done.stderr.strip().splitlines()[-1:])
        return json.loads(done.stdout)

    def stop_server(self, *, log: Path) -> None:
        """End the server that SkyPilot leaves in the background, and whatever it is about to rent."""
        with suppress(SkyFailed, subprocess.TimeoutExpired):
            self.sky("api", "stop", log=log, seconds=CALL_SECONDS)
        port = int(self.environment()["SKYPILOT_API_SERVER_LOCAL_PORT"])
        for _ in range(STOP_SECONDS):  # it still answers for a moment, and the next command would trust it
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) != 0:
                    return
            time.sleep(1)


class SkyFailed(Exception):
    """SkyPilot gave up; the text is what it said."""


class CloudAway(Exception):
    """The cloud's interface did not answer."""


def no_credentials(said: str) -> UserError:
    """Amazon does not know the user."""
    return UserError(
        f"Amazon's cloud does not accept your credentials, or there are none ({said.strip()[-200:]}).",
        "Get an access key at https://console.aws.amazon.com/iam (Users, Security credentials), then type: "
        "aws configure",
    )


def made_engine() -> Engine | None:
    """The environment, where it has been made already."""
    engine = Engine(cloud_folder() / f"skypilot-{VERSION}", cloud_folder() / "home")
    return engine if (engine.folder / "ready").exists() else None


def engine(listener: Listener) -> Engine:
    """The environment, made on first use. Raises UserError where that cannot be done."""
    _require_programs()
    if (made := made_engine()) is not None:
        return made
    new = Engine(cloud_folder() / f"skypilot-{VERSION}", cloud_folder() / "home")
    stage(listener, "Installing SkyPilot, which knows the clouds (800 MB, once)")
    shutil.rmtree(new.folder, ignore_errors=True)
    new.home.mkdir(parents=True, exist_ok=True)
    venv.create(new.folder, with_pip=True)
    done = subprocess.run(
        [str(new.python), "-m", "pip", "install", "--quiet", *PACKAGES],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise UserError(
            f"SkyPilot could not be installed: {done.stderr.strip().splitlines()[-1:]}.",
            f"Look whether the network is there, then try again; or do it by hand: {new.python} -m pip "
            f"install '{PACKAGES[0]}'",
        )
    (new.folder / "ready").touch()
    note(listener, f"SkyPilot {VERSION} is in {new.folder}; deleting that folder removes it.")
    return new


def _require_programs() -> None:
    if sys.platform == "win32":
        raise UserError(
            "Renting machines needs Linux or macOS.", "On Windows it works within WSL: wsl --install"
        )
    missing = [program for program in NEEDED_PROGRAMS if shutil.which(program) is None]
    if missing:
        raise UserError(
            f"Renting machines needs {' and '.join(missing)}, which this machine does not have.",
            f"On Debian or Ubuntu: sudo apt install {' '.join(missing)}",
        )


def ssh_command(engine: Engine, cluster: str) -> list[str]:
    """How to reach a machine; ssh takes ~ from the password file, so its files are named outright."""
    generated = engine.home / ".sky" / "generated"
    key = generated / "ssh-keys" / f"{cluster}.key"
    return ["ssh", "-F", str(generated / "ssh" / cluster), "-i", str(key), "-o", "ConnectTimeout=15",
            "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3", "-o", "BatchMode=yes"]  # fmt: skip


def copy_back(
    engine: Engine, cluster: str, source: str, target: Path, *, seconds: float, without: tuple[str, ...] = ()
) -> bool:
    """Copy a folder of the machine to ``target``; gives whether that worked."""
    target.mkdir(parents=True, exist_ok=True)
    left_out = [f"--exclude=/{name}" for name in without]
    return _rsync(
        engine, cluster, f"{cluster}:{source}/", f"{target}/", "--delete", *left_out, seconds=seconds
    )


def copy_there(engine: Engine, cluster: str, source: Path, target: str, *, seconds: float) -> bool:
    """Copy a folder to the machine, beside what is there; gives whether that worked."""
    return _rsync(engine, cluster, f"{source}/", f"{cluster}:{target}/", seconds=seconds)


def _rsync(engine: Engine, cluster: str, *arguments: str, seconds: float) -> bool:
    ssh = " ".join(ssh_command(engine, cluster))
    try:
        done = subprocess.run(
            ["rsync", "-a", "-e", ssh, *arguments],
            env=engine.environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=seconds, start_new_session=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def settings_file(path: Path, settings: Mapping[str, Any]) -> Path:
    """Settings for SkyPilot; JSON is YAML."""
    path.write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return path
