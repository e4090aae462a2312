"""What the programs share that ask a cloud itself by plain HTTPS requests: refusals, and how they answer.

They are run as files by the Python of the cloud environment, which does not know plaintune, and find this one
beside them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any


class Refused(Exception):
    """The cloud said no; ``status`` is HTTP's."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


def each_of(instances: list[dict[str, str]], do: Callable[[str], Any]) -> list[str]:
    """Do it to every one, whatever the others say; raises the first refusal after the last."""
    refused: list[Refused] = []
    for one in instances:
        try:
            do(one["id"])
        except Refused as error:
            if error.status != 404:  # gone already
                refused.append(error)
    if refused:
        raise refused[0]
    return [one["id"] for one in instances]


def answer(
    questions: dict[str, Callable[..., Any]],
    *,
    no_credentials: tuple[type[Exception], ...],
    away: tuple[type[Exception], ...],
) -> None:
    """Answer what the command line asks, as JSON; exits with 3 for bad credentials, with 1 for the rest."""
    refusals: tuple[type[Exception], ...] = (Refused, *away)
    try:
        questions["account"]()
        print(json.dumps(questions[sys.argv[1]](**json.loads(sys.argv[2]))))
    except refusals as error:  # before the others: without a network nobody is known
        print(error, file=sys.stderr)
        sys.exit(3 if getattr(error, "status", 0) == 401 else 1)
    except no_credentials as error:
        print(error, file=sys.stderr)
        sys.exit(3)
