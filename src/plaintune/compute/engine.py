"""SkyPilot, which knows the clouds: in an environment of its own, driven as a program, never imported here.

It weighs 800 MB and pins old versions of common libraries, so it is not a dependency. It gets a home folder
of its own as well: nothing of the user's own SkyPilot or SSH settings is read or changed. Of the user's keys
only those of the cloud that is rented from are shown to it: it would copy others to the machine. Its
telemetry is off.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..core.errors import UserError
from ..core.events import Listener, note, stage
from .clouds import CLOUDS, Cloud
from .records import cloud_folder

VERSION = "0.14.1"
PACKAGE = f"skypilot[aws,gcp]=={VERSION}"
SERVER_PORT = "46590"  # not SkyPilot's own: a server of the user's goes on undisturbed
NEEDED_PROGRAMS = ("ssh", "rsync")
CALL_SECONDS = 120
STOP_SECONDS = 30
CLIENT = "sky.pid"  # in the home folder: the number of the process that was started last
SHOWN = frozenset((  # of the user's environment: what a program needs to find its way, in the network as well
    "LANG", "LC_ALL", "LD_LIBRARY_PATH", "LOGNAME", "TERM", "TMPDIR", "TZ", "USER",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY",
    "ALL_PROXY", "NO_PROXY", "SKYPILOT_API_SERVER_LOCAL_PORT",
))  # fmt: skip
SHOWN_FAMILIES = ("PIP_", "UV_")
LINKED = {  # where SkyPilot looks for a cloud's credentials, and nowhere else, within its home folder
    "gcp": ("CLOUDSDK_CONFIG", ".config/gcloud"),
    "azure": ("AZURE_CONFIG_DIR", ".azure"),
}
ENABLED = "enabled"  # in the home folder: the cloud that SkyPilot has last been told to look into


@dataclass(frozen=True)
class Engine:
    """An environment with SkyPilot in it, and the cloud that it is shown."""

    folder: Path  # the environment
    home: Path  # what SkyPilot takes for the home folder
    cloud: Cloud = CLOUDS["aws"]

    def on(self, cloud: str) -> Engine:
        """The same, shown another cloud."""
        return replace(self, cloud=CLOUDS[cloud])

    @property
    def python(self) -> Path:
        """The interpreter of that environment."""
        return self.folder / "bin" / "python"

    def environment(self) -> dict[str, str]:
        """What its programs see: the user's credentials for this cloud where they are, of no other."""
        families = (*SHOWN_FAMILIES, *self.cloud.variables)
        given = {name: value for name, value in os.environ.items() if _is_shown(name, families)}
        folders = {name: str(Path.home() / path) for name, path in self.cloud.folders.items()}
        return {
            **folders,
            "SKYPILOT_API_SERVER_LOCAL_PORT": SERVER_PORT,
            **given,
            "HOME": str(self.home),
            "PATH": f"{self.folder / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
            "AZURE_CORE_COLLECT_TELEMETRY": "0",
            "NO_COLOR": "1",
        }

    def sky(self, *arguments: str, log: Path, seconds: float | None = None) -> str:
        """Run a command of SkyPilot, kept in ``log``; gives its words. Raises SkyFailed, TimeoutExpired."""
        with log.open("a", encoding="utf-8") as file:
            file.write(f"\n$ sky {' '.join(arguments)}\n")
            file.flush()
            begun = file.tell()
            with subprocess.Popen(
                [str(self.folder / "bin" / "sky"), *arguments],
                env=self.environment(), stdin=subprocess.DEVNULL, stdout=file, stderr=file,
                start_new_session=True,
            ) as client:  # fmt: skip
                try:
                    with suppress(OSError):
                        (self.home / CLIENT).write_text(str(client.pid), encoding="utf-8")
                    status = client.wait(seconds)
                except BaseException:
                    client.kill()
                    raise
        said = log.read_bytes()[begun:].decode("utf-8", errors="replace")
        if status != 0:
            raise SkyFailed(said)
        return said

    @property
    def lacks(self) -> str:
        """The part of SkyPilot that ordering from this cloud needs and that is not installed; or empty."""
        apart = self.cloud.apart
        return apart if apart and not (self.folder / f"ready-{apart}").exists() else ""

    def enable(self, *, log: Path) -> None:
        """Let SkyPilot look into this cloud, which it does by itself for the first one only.

        Raises SkyFailed, TimeoutExpired.
        """
        enabled = self.home / ENABLED
        before = enabled.read_text(encoding="utf-8") if enabled.exists() else "aws"
        for cloud, (variable, path) in LINKED.items():
            linked = self.home / path
            if linked.is_symlink():
                linked.unlink()
            if self.cloud.name == cloud:
                shutil.rmtree(linked, ignore_errors=True)  # SkyPilot makes an empty one
                linked.parent.mkdir(parents=True, exist_ok=True)
                linked.symlink_to(self.environment()[variable])
        if before != self.cloud.name:
            self.sky("check", self.cloud.name, log=log, seconds=CALL_SECONDS)
            enabled.write_text(self.cloud.name, encoding="utf-8")

    def ask(self, what: str, **request: Any) -> Any:
        """An answer of the cloud's own interface, by `ec2.py`, `gce.py` or `azure_vm.py`.

        Raises CloudAway, TimeoutExpired, UserError.
        """
        interface = Path(__file__).with_name(self.cloud.interface)
        done = subprocess.run(
            [str(self.python), str(interface), what, json.dumps(request)],
            env=self.environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=CALL_SECONDS, check=False, start_new_session=True,
        )  # fmt: skip
        if done.returncode == 3:
            raise self.cloud.no_credentials(done.stderr)
        if done.returncode != 0:
            raise CloudAway((done.stderr.strip().splitlines() or ["it said nothing"])[-1])
        return json.loads(done.stdout)

    def stop_server(self, *, log: Path) -> None:
        """End the server that SkyPilot leaves in the background, and whatever it is about to rent."""
        self._end_client()
        with suppress(SkyFailed, subprocess.TimeoutExpired, OSError):  # a full disk takes no log
            self.sky("api", "stop", log=log, seconds=CALL_SECONDS)
        port = int(self.environment()["SKYPILOT_API_SERVER_LOCAL_PORT"])
        for _ in range(STOP_SECONDS):  # it still answers for a moment, and the next command would trust it
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) != 0:
                    return
            time.sleep(1)

    def _end_client(self) -> None:
        """A `sky` that outlived a killed command would start the server again and rent."""
        with suppress(OSError, ValueError):
            client = int((self.home / CLIENT).read_text(encoding="utf-8"))
            asked = ["ps", "-ww", "-p", str(client), "-o", "args="]
            command = subprocess.run(asked, capture_output=True, text=True, check=False).stdout
            if str(self.folder) in command:  # and not somebody else's process of the same number
                os.kill(client, signal.SIGKILL)


class SkyFailed(Exception):
    """SkyPilot gave up; the text is what it said."""


class CloudAway(Exception):
    """The cloud's interface did not answer, or would not."""


@contextmanager
def silence_in_words() -> Iterator[None]:
    """A cloud that does not answer becomes a UserError."""
    try:
        yield
    except (CloudAway, subprocess.TimeoutExpired) as away:
        why = "not in time" if isinstance(away, subprocess.TimeoutExpired) else str(away)
        raise UserError(
            f"The cloud does not answer ({why}).",
            "Look whether the network is there, then type the same again.",
        ) from away


def _is_shown(name: str, families: tuple[str, ...]) -> bool:
    return name.upper() in SHOWN or name.startswith(families)  # proxies are set in small letters, too


def made_engine() -> Engine | None:
    """The environment, where it has been made already."""
    made = _engine()
    return made if (made.folder / "ready").exists() else None


def engine(listener: Listener) -> Engine:
    """The environment, made on first use. Raises UserError where that cannot be done."""
    _require_programs()
    _require_plain_folder()
    if (made := made_engine()) is not None:
        return made
    with _alone(listener):
        return made_engine() or _make(_engine(), listener)


def _engine() -> Engine:
    return Engine(cloud_folder() / f"skypilot-{VERSION}", cloud_folder() / "home")


@contextmanager
def _alone(listener: Listener) -> Iterator[None]:
    """Wait until no other command makes the environment."""
    import fcntl  # not on Windows, which `_require_programs` has refused

    cloud_folder().mkdir(parents=True, exist_ok=True)
    with (cloud_folder() / "making").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(listener, "Another plaintune is installing SkyPilot; waiting for it.")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(new: Engine, listener: Listener) -> Engine:
    """Install SkyPilot, or go on with what is there of it already."""
    stage(listener, "Installing SkyPilot, which knows the clouds (800 MB, once)")
    new.home.mkdir(parents=True, exist_ok=True)
    if not (new.folder / "bin" / "pip").exists():
        try:
            venv.create(new.folder, with_pip=True, clear=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise UserError(
                f"This Python cannot make an environment in {new.folder} ({error}).",
                "On Debian or Ubuntu type: sudo apt install python3-venv. Then try again.",
            ) from error
    _install(new, PACKAGE)
    (new.folder / "ready").touch()
    note(listener, f"SkyPilot {VERSION} is in {new.folder}; deleting that folder removes it.")
    return new


def complete(there: Engine, listener: Listener) -> Engine:
    """The environment, with what ordering from its cloud needs beside the rest. Raises UserError."""
    if there.lacks:
        with _alone(listener):
            if there.lacks:
                stage(listener, f"Installing SkyPilot's part for {there.cloud.company} (1.1 GB, once)")
                _install(there, f"skypilot[{there.lacks}]=={VERSION}")
                (there.folder / f"ready-{there.lacks}").touch()
    return there


def _install(into: Engine, package: str) -> None:
    done = subprocess.run(
        [str(into.python), "-m", "pip", "install", "--quiet", package],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise UserError(
            f"SkyPilot could not be installed: {''.join(done.stderr.strip().splitlines()[-1:])}",
            f"Look whether the network is there, then try again; or do it by hand: "
            f"{shlex.quote(str(into.python))} -m pip install '{package}'",
        )


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


def _require_plain_folder() -> None:
    if any(character.isspace() for character in str(cloud_folder())):
        raise UserError(
            f"SkyPilot cannot log in from a folder with a space in its name: {cloud_folder()}",
            "Name another, for example: export PLAINTUNE_HOME=$HOME/.plaintune",
        )


def ssh_command(engine: Engine, cluster: str) -> list[str]:
    """How to reach a machine; ssh takes ~ from the password file, so its files are named outright."""
    generated = engine.home / ".sky" / "generated"
    key = generated / "ssh-keys" / f"{cluster}.key"
    return ["ssh", "-F", str(generated / "ssh" / cluster), "-i", str(key), "-o", "ConnectTimeout=15",
            "-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3", "-o", "BatchMode=yes"]  # fmt: skip


def runs_there(
    engine: Engine, cluster: str, shell: str, *, machine: str | None = None, seconds: float
) -> bool:
    """Whether a line of shell succeeds on a rented machine: the cluster's first, or the one called so."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(
            [*ssh_command(engine, cluster), machine or cluster, shell],
            env=engine.environment(), stdin=subprocess.DEVNULL, capture_output=True, check=False,
            timeout=seconds, start_new_session=True,
        )  # fmt: skip
        return done.returncode == 0
    return False


def copy_back(
    engine: Engine, cluster: str, source: str, target: Path, *, seconds: float, without: tuple[str, ...] = ()
) -> bool:
    """Copy a folder of the machine to ``target``; gives whether that worked. Cut off, the next goes on."""
    target.mkdir(parents=True, exist_ok=True)
    left_out = [f"--exclude=/{name}" for name in without]
    return _rsync(
        engine, cluster, f"{cluster}:{source}/", f"{target}/", "--delete", *left_out, seconds=seconds
    )


def copy_there(engine: Engine, cluster: str, source: Path, target: str, *, seconds: float) -> bool:
    """Copy a folder to the machine, beside what is there; gives whether that worked."""
    return _rsync(engine, cluster, f"{source}/", f"{cluster}:{target}/", seconds=seconds)


def _rsync(engine: Engine, cluster: str, *arguments: str, seconds: float) -> bool:
    ssh = shlex.join(ssh_command(engine, cluster))
    try:
        done = subprocess.run(
            ["rsync", "-a", "--partial", "-e", ssh, *arguments],
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
