"""Ask the service: python client.py "some text" (needs nothing but Python)."""

from __future__ import annotations

import json
import os
import sys
import urllib.request
from typing import Any

ADDRESS = os.environ.get("PLAINTUNE_ADDRESS", "http://127.0.0.1:8000")


def ask(texts: list[str]) -> list[dict[str, Any]]:
    """One answer for each text."""
    headers = {"Content-Type": "application/json"}
    if token := os.environ.get("PLAINTUNE_TOKEN"):
        headers["Authorization"] = f"Bearer {token}"
    body = json.dumps({"texts": texts}).encode()
    request = urllib.request.Request(f"{ADDRESS}/predict", body, headers)
    with urllib.request.urlopen(request, timeout=30) as reply:
        answers: list[dict[str, Any]] = json.load(reply)["predictions"]
        return answers


if __name__ == "__main__":
    for prediction in ask(sys.argv[1:] or ["Loved it"]):
        print(prediction["answer"], f"({prediction['confidence']:.0%} sure)")
