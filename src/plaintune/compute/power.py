"""What lets a rented machine switch itself off, whatever becomes of everybody else: lines of shell for it."""

from __future__ import annotations

from importlib import resources

from .clouds import CLOUDS
from .records import Rental

# Whether a machine will end itself: the service is there, and a time is set.
ENDS_ITSELF = "systemctl -q is-active plaintune-end && test -e /run/systemd/shutdown/scheduled"


def timer(deadline: float, now: float, shutdown: str = "shutdown") -> str:
    """Let a machine switch itself off at ``deadline``, by its own clock.

    It may run minutes after the order; a clock that is wrong gives no more than what was left at the order.
    """
    most = _minutes_until(deadline, now)
    left = f"m=$(( ({int(deadline)} - $(date +%s)) / 60 ))"
    return f"{left}; [ $m -ge 1 ] || m=1; [ $m -le {most} ] || m={most}; {shutdown} -P +$m"


def at_every_start(deadline: float, now: float, root: str = "") -> str:
    """Let a machine that is kept switch itself off after as long, however it was started."""
    line = f"@reboot root /sbin/shutdown -P +{_minutes_until(deadline, now)}"
    return f"echo '{line}' | {root}tee /etc/cron.d/plaintune >/dev/null"


def end_by_itself(rental: Rental, now: float) -> str:
    """The first lines of the set-up at Google and Microsoft, where SkyPilot has no earlier place for them.

    Powering off only stops such a machine: one that is to end asks the cloud, in its own name, to delete
    it. At Microsoft even one that is kept asks, to be given back: it is paid for as long as it is only off.
    """
    lines = [timer(rental.deadline, now, "sudo shutdown")]
    if rental.keeps_disk:
        lines.append(at_every_start(rental.deadline, now, "sudo "))
    if rental.must_see_to_its_end:
        asking = f"keep={'yes' if rental.keeps_disk else 'no'}\n{_shell(CLOUDS[rental.cloud].ends_in_setup)}"
        lines.append(_shell("end_with_power.sh").replace("@ASK@\n", asking))
    return "\n".join(lines) + "\n"


def _shell(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _minutes_until(deadline: float, now: float) -> int:
    return max(1, int((deadline - now) / 60))
