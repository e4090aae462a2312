"""What a service says when it cannot answer: RFC 9457 problems, with what to do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

MEDIA_TYPE = "application/problem+json"
MOST_FAULTS = 5
MEANINGS = {
    400: "The body could not be read.",
    401: "The token is missing or wrong.",
    404: "There is no model of that name.",
    408: "The body did not come in time.",
    413: "A text is too long, or too much was sent at once.",
    422: "The body is not what this address takes.",
    429: "Too many explanations are waiting; Retry-After says when to try again.",
    503: "Too many texts are waiting; Retry-After says when to try again.",
}


class Problem(BaseModel):
    """Why there is no answer."""

    type: str
    title: str
    status: int
    detail: str
    fix: str
    request_id: str
    faults: list[dict[str, str]] | None = None


class Refused(Exception):
    """Ends a request with a problem."""

    def __init__(
        self, status: int, detail: str, fix: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(detail)
        self.status, self.detail, self.fix = status, detail, fix
        self.headers, self.more = dict(headers or {}), more


def problem_body(refused: Refused, request_id: str) -> bytes:
    """The problem as JSON. It never repeats what was sent."""
    title = HTTPStatus(refused.status).phrase
    told = {
        "type": "about:blank",
        "title": title,
        "status": refused.status,
        "detail": refused.detail,
        "fix": refused.fix,
        "request_id": request_id,
    }
    return json.dumps(told | refused.more).encode()


def our_fault() -> Refused:
    """For what should not have happened."""
    return Refused(500, "Something failed here.", "The log tells more, by this request_id.")


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for its description."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": MEANINGS[status], "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def speak_in_problems(app: FastAPI) -> None:
    """Every error that leaves ``app`` is a problem; of our own faults only the number is told."""

    def respond(request: Request, refused: Refused) -> Response:
        body = problem_body(refused, request.scope["request_id"])
        return Response(body, refused.status, refused.headers, MEDIA_TYPE)

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return respond(request, error)

    async def unfit(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = [
            {"where": ".".join(str(part) for part in fault["loc"])[:100], "what": fault["msg"][:200]}
            for fault in error.errors()[:MOST_FAULTS]
        ]
        return respond(
            request,
            Refused(
                422,
                "The body is not what this address takes.",
                'Send {"text": "Loved it"} or {"texts": ["Loved it", "Too slow"]} with the header '
                "Content-Type: application/json. See /docs.",
                faults=faults,
            ),
        )

    async def plain(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        told = {
            400: (MEANINGS[400], "Send JSON; see /docs."),
            404: ("There is nothing at this address.", "See /docs for what there is."),
            405: ("This address does not take that method.", "See /docs for what it takes."),
        }.get(error.status_code, (str(error.detail), "See /docs."))
        return respond(request, Refused(error.status_code, *told, headers=error.headers))

    async def fault(request: Request, error: Exception) -> Response:
        return respond(request, our_fault())  # and raised again, so that the gate logs it

    app.add_exception_handler(Exception, fault)
    app.add_exception_handler(Refused, refused)
    app.add_exception_handler(RequestValidationError, unfit)
    app.add_exception_handler(HTTPException, plain)
