"""A model that a rented machine has trained, once it is home: the user's own names in it, and the bill."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..core.events import Listener, note
from ..core.files import write_json, write_text
from ..core.settings import DATA_CHECK, REPORT, Choice
from ..model.card import model_card
from ..model.folder import CARD, MANIFEST, parsed_manifest, write_manifest
from .names import Names
from .records import Rental


@dataclass(frozen=True)
class Bill:
    """What a run on rented machines has taken so far."""

    machine: str
    minutes: float  # from the first order on, set-up included
    cost_usd: float

    @classmethod
    def of(cls, rental: Rental, now: float) -> Bill:
        """Of all the machines of a rental, one after the other."""
        several = f"{rental.nodes} × " if rental.nodes > 1 else ""
        where = " ".join(filter(None, (rental.cloud, rental.region)))
        kind = f"{several}{rental.gpu} ({', '.join(filter(None, (where, rental.machine)))})"
        return cls(kind, (now - rental.started) / 60, rental.cost_usd(now))

    @property
    def choice(self) -> Choice:
        """The machine among the other choices of the run, as the page and the model card list them."""
        reason = f"rented for {self.minutes:.0f} min, about ${self.cost_usd:.2f}"
        return Choice("rented machine", self.machine, reason)


def settle_in(folder: Path, names: Names, bill: Bill, listener: Listener) -> None:
    """Give a model folder that has come home the user's names, and the bill; the graph stays as it is.

    The plan is left alone: it names no files.
    """
    choice = asdict(bill.choice)
    report = names.at_home(_read(folder / REPORT))
    report |= {"model": folder.name, "rental": asdict(bill), "choices": [*report["choices"], choice]}
    manifest = parsed_manifest(folder, names.at_home(_read(folder / MANIFEST)))
    manifest = replace(manifest, choices=(*manifest.choices, choice))
    write_json(folder / DATA_CHECK, names.at_home(_read(folder / DATA_CHECK)))
    write_json(folder / REPORT, report)
    _redraw(folder, listener)
    write_text(folder / CARD, model_card(manifest, folder.name))
    write_manifest(folder, manifest)


def _redraw(folder: Path, listener: Listener) -> None:
    """The page of the report anew; renting needs less installed than drawing."""
    try:
        from ..report.stored import rewrite_report
    except ModuleNotFoundError:
        place = shlex.quote(str(folder))
        note(
            listener,
            "The report's page is as the rented machine drew it, with other names for your files. To draw it "
            f"anew, in plaintune's folder: pip install '.[train]', then: plaintune report {place}",
        )
    else:
        rewrite_report(folder, None, texts=True, replace_existing=True)


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))
