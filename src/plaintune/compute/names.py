"""Files have other names on a rented machine: what it says and writes comes home with those the user gave.

Nobody calls a text, a column or a file as they are called there, so they are found wherever they stand.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core.settings import TEXTS, Settings

MODEL = "model-to-fetch"  # the folder it is written to there
DATA, TEST, PLAN_GIVEN, UNLABELED = "sent-data", "sent-test", "sent-plan", "sent-unlabeled"
BACKBONE, MENDED = "sent-backbone", "sent-mended"


def things_to_send(source: str, test: str | None, settings: Settings) -> dict[str, str]:
    """The files and folders that were named, each by the folder that it gets on the machine.

    Addresses are left for the machine to fetch, and names of pre-trained models for it to find.
    """
    backbone = settings.backbone
    named = {
        DATA: source,
        TEST: test,
        PLAN_GIVEN: settings.plan,
        UNLABELED: settings.unlabeled,
        BACKBONE: backbone if backbone and Path(backbone).expanduser().is_dir() else None,
        **{f"{MENDED}-{number}": file for number, file in enumerate(settings.corrections)},
    }
    return {place: given for place, given in named.items() if given is not None and "://" not in given}


def name_there(place: str, given: str) -> str:
    """What ``given`` is called on the machine, where it lies in the folder ``place``."""
    return f"{place}/{Path(given).expanduser().resolve().name}"


@dataclass(frozen=True)
class Names:
    """What things are called on the machine, each with the name that the user gave it."""

    given: Mapping[str, str]

    @classmethod
    def of(cls, source: str, test: str | None, settings: Settings, *, out: Path) -> Names:
        """Of all that is sent for a run, and of the model that comes back."""
        sent = things_to_send(source, test, settings)
        return cls({MODEL: str(out), **{name_there(place, one): one for place, one in sent.items()}})

    def at_home(self, told: Any) -> Any:
        """``told`` (text, or JSON) with the user's names; texts of the user's own stay as they are.

        Where a name stands among other words it is quoted as in a line to type.
        """
        if isinstance(told, str):
            return self.given[told] if told in self.given else self._in_words(told)
        if isinstance(told, Mapping):
            return {key: part if key == TEXTS else self.at_home(part) for key, part in told.items()}
        return [self.at_home(part) for part in told] if isinstance(told, list | tuple) else told

    def _in_words(self, text: str) -> str:
        return self._anywhere.sub(lambda found: shlex.quote(self.given[self._written[found[0]]]), text)

    @cached_property
    def _written(self) -> dict[str, str]:
        """Each name there, by the ways to write it."""
        return {way: name for name in self.given for way in (name, shlex.quote(name))}

    @cached_property
    def _anywhere(self) -> re.Pattern[str]:
        longest_first = sorted(self._written, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
