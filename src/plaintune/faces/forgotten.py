"""A rented machine that nobody looks after is the first thing a command says."""

from __future__ import annotations

import sys

from ..compute.records import forgotten


def say_what_is_forgotten(command: list[str]) -> None:
    """One line on stderr for each; `plaintune cloud doctor` says it better itself."""
    if sys.platform == "win32" or command[:2] == ["cloud", "doctor"]:
        return
    for rental in forgotten():
        print(
            f"Careful: a rented {rental.gpu} may still be running and costing money, as its command was cut "
            "off. See: plaintune cloud doctor",
            file=sys.stderr,
        )
