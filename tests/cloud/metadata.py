"""The metadata service of one rented machine: SkyPilot's own timer asks it for the role's credentials.

python metadata.py INSTANCE_ID REGION [ROLE]
"""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROLES = "/latest/meta-data/iam/security-credentials"


def answers(instance_id: str, region: str, role: str) -> dict[str, str]:
    """Path and body of everything a machine may ask; moto takes any credentials."""
    expires = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    identity = {"instanceId": instance_id, "region": region}
    pages = {
        "/latest/meta-data/instance-id": instance_id,
        "/latest/meta-data/placement/region": region,
        "/latest/dynamic/instance-identity/document": json.dumps(identity),
    }
    if role:  # without one an instance has no credentials to give
        credentials = {
            "Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z",
            "Expiration": expires, "AccessKeyId": "ASIALABROLE", "SecretAccessKey": "lab", "Token": "lab",
        }  # fmt: skip
        pages |= {ROLES: role, f"{ROLES}/{role}": json.dumps(credentials)}
    return pages


def serve(pages: dict[str, str]) -> None:
    """Answer until killed."""

    class Handler(BaseHTTPRequestHandler):
        def _reply(self, status: int, body: str) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def do_PUT(self) -> None:  # a session token comes first
            self._reply(200, "token")

        def do_GET(self) -> None:
            body = pages.get(self.path.rstrip("/"))
            self._reply(200 if body is not None else 404, body or "")

    ThreadingHTTPServer(("169.254.169.254", 80), Handler).serve_forever()


if __name__ == "__main__":
    instance, where, *given = sys.argv[1:]
    serve(answers(instance, where, given[0] if given else ""))
