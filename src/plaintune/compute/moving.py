"""Take the machine of one's own to another zone: its home folder goes through this computer.

A snapshot of the disk would be quicker between zones of one region, but SkyPilot cannot start from one.
"""

from __future__ import annotations

from dataclasses import replace

from ..core.errors import UserError
from ..core.events import Listener, note, stage
from .engine import Engine, copy_back, copy_there
from .own import create, destroy, require_machine, state_of, stop
from .prices import Offer
from .records import Rental

MADE_BY_SETUP = (
    "plaintune-env", "skypilot-runtime", "sky-user-env", "sky_workdir", "sky_logs", "sky_templates", ".sky",
    ".ssh", ".cache", ".local", ".ray",
)  # fmt: skip
COPY_SECONDS = 3600


def move(engine: Engine, rental: Rental, offer: Offer, *, hours: float, listener: Listener) -> Rental:
    """A new machine where ``offer`` is, with the home folder of the old one, which ends last.

    Raises UserError; the old machine, or the copy of its home folder, is there in any case.
    """
    if not state_of(engine, rental).is_on:
        raise UserError(
            "Your machine is off, and its disk can only be read while it is on.",
            "Type: plaintune cloud start",
        )
    kept = rental.folder / "home"
    stage(listener, f"Bringing its home folder here, to {kept}")
    name = rental.cluster or rental.name
    if not copy_back(engine, name, ".", kept, seconds=COPY_SECONDS, without=MADE_BY_SETUP):
        raise UserError("The home folder could not be copied.", "Nothing has changed; try again.")
    if rental.keeps_disk:
        rental = stop(engine, rental, listener)
    zone = engine.on(offer.cloud).ask("zone_name", region=offer.region, zone=offer.zone)
    fresh = create(
        engine, offer,
        spot=rental.spot, hours=hours, region=offer.region, zone=zone, listener=listener,
    )  # fmt: skip
    stage(listener, "Bringing the home folder to the new machine")
    if not copy_there(engine, fresh.cluster or fresh.name, kept, ".", seconds=COPY_SECONDS):
        raise UserError(
            "The new machine is there, but your files are not on it.",
            f"They are in {kept}; the old machine is kept, too. See: plaintune cloud doctor",
        )
    destroy(engine, replace(rental, region=None), listener)
    note(listener, f"Your machine is in {zone or offer.region} now. A copy of your files is in {kept}.")
    return require_machine()
