"""The service: models answer over HTTP, with pages to try them and to watch them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from .. import __version__
from ..core.errors import nearest
from ..core.features import has_half_character, whole_characters
from .batcher import Full
from .gate import OPEN_PATHS, Gate
from .gauges import Gauges
from .problems import Problem, Refused, documented, speak_in_problems
from .served import MOST_EXPLANATIONS, Limits, Log, Served

WEB = Path(__file__).parent / "web"
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
WATCH_SECONDS = 1.0
MOST_MEMBERS = 4  # of a question's JSON that are looked at
router = APIRouter()


class Question(BaseModel):
    """What is asked. Of many faults a few are found, so that no request costs more than its bytes."""

    @model_validator(mode="before")
    @classmethod
    def _few_members(cls, given: Any) -> Any:
        return dict(islice(given.items(), MOST_MEMBERS)) if isinstance(given, dict) else given


class One(Question):
    """One text."""

    model_config = ConfigDict(extra="forbid", title="OneText")
    text: str


class Many(Question):
    """Several texts, answered in their order."""

    model_config = ConfigDict(extra="forbid", title="ManyTexts")
    texts: Annotated[list[str], Field(min_length=1, fail_fast=True)]


class Answer(BaseModel):
    """What the model says of a text: the most probable class, the classes that apply, or a number."""

    answer: str | list[str] | float
    confidence: float
    probabilities: dict[str, float]
    interval: tuple[float, float] | None
    unsure: bool


class Answers(BaseModel):
    """One answer for each text."""

    model: str
    version: str
    predictions: list[Answer]


@dataclass(frozen=True)
class House:
    """What the routes work with. The first model is the one without a name in the path."""

    models: Mapping[str, Served]
    limits: Limits
    gauges: Gauges
    log_texts: bool

    def chosen(self, name: str | None) -> Served:
        """The model called ``name``, or the first."""
        if name is None:
            return next(iter(self.models.values()))
        if name not in self.models:
            raise Refused(
                404,
                "There is no model of that name here." + nearest(name, self.models),
                f"Here are: {', '.join(self.models)}",
            )
        return self.models[name]


def create_app(
    models: Mapping[str, Served],
    *,
    limits: Limits,
    gauges: Gauges,
    log: Log,
    token: str | None = None,
    log_texts: bool = False,
    watch_folders: bool = False,
) -> Gate:
    """The service over models by their names."""

    @contextlib.asynccontextmanager
    async def alive(app: FastAPI) -> AsyncIterator[None]:
        watching = asyncio.create_task(_reload_changed(models)) if watch_folders else None
        yield
        if watching is not None:
            watching.cancel()
        for served in models.values():
            await served.close()

    app = FastAPI(
        title="plaintune", version=__version__, docs_url=None, redoc_url=None, lifespan=alive,
        description="Answers texts with the models that plaintune trained.",
    )  # fmt: skip
    app.state.house = House(models, limits, gauges, log_texts)
    app.include_router(router)
    speak_in_problems(app)
    _describe(app, limits, list(models), asks_token=token is not None)
    gauges.watch(lambda: [(name, served.loaded.watch) for name, served in models.items()])
    return Gate(app, limits=limits, token=token, gauges=gauges, log=log)


@router.post("/predict", response_model=Answers, responses=documented(400, 401, 408, 413, 422, 503))
async def predict(request: Request, question: One | Many) -> Response:
    """Answer one text, or many, by the first model."""
    return await _predict(request, _house(request).chosen(None), question)


@router.post(
    "/models/{name}/predict",
    response_model=Answers,
    responses=documented(400, 401, 404, 408, 413, 422, 503),
)
async def predict_by(request: Request, question: One | Many, name: str) -> Response:
    """Answer one text, or many, by the model of that name."""
    return await _predict(request, _house(request).chosen(name), question)


@router.post("/explain", responses=documented(400, 401, 408, 413, 422, 429, 503))
async def explain(request: Request, question: One) -> Response:
    """Say which words of a text decided the first model's answer."""
    return await _explain(request, _house(request).chosen(None), question.text)


@router.post("/models/{name}/explain", responses=documented(400, 401, 404, 408, 413, 422, 429, 503))
async def explain_by(request: Request, question: One, name: str) -> Response:
    """Say which words of a text decided the answer of the model of that name."""
    return await _explain(request, _house(request).chosen(name), question.text)


@router.get("/models", responses=documented(401))
async def models(request: Request) -> JSONResponse:
    """What models are here, what they answer and how good they are; the first needs no name."""
    return JSONResponse({"models": [served.as_json() for served in _house(request).models.values()]})


@router.get("/models/{name}/watch", responses=documented(401, 404))
async def watched(request: Request, name: str) -> JSONResponse:
    """How far the latest texts and answers are from those of training."""
    served = _house(request).chosen(name)
    return JSONResponse({"model": served.name, **served.loaded.watch.as_json()})


@router.head("/health", include_in_schema=False)
@router.get("/health")
async def health() -> dict[str, str]:
    """Whether the process runs."""
    return {"status": "ok"}


@router.head("/ready", include_in_schema=False)
@router.get("/ready")
async def ready(request: Request) -> dict[str, Any]:
    """Whether it answers, and with which versions."""
    return {"status": "ready", "models": [served.loaded.version for served in _served(request)]}


@router.get("/metrics", response_class=Response, responses=documented(401))
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    return Response(_house(request).gauges.page(), media_type="text/plain; version=0.0.4")


@router.get("/", include_in_schema=False)
@router.get("/watch", include_in_schema=False)
@router.get("/docs", include_in_schema=False)
async def page(request: Request) -> Response:
    """A page to try the models, to watch them, or to read what the addresses take."""
    name = request.url.path.rstrip("/").rpartition("/")[2] or "index"
    return HTMLResponse((WEB / f"{name}.html").read_bytes(), headers={"Cache-Control": "no-cache"})


@router.get("/static/{name}", include_in_schema=False)
async def static(name: str) -> Response:
    """A part of the pages."""
    file = WEB / name
    if file.suffix not in KINDS or file not in WEB.iterdir():
        raise Refused(404, "There is nothing at this address.", "See /docs for what there is.")
    return Response(file.read_bytes(), media_type=KINDS[file.suffix], headers={"Cache-Control": "no-cache"})


async def _predict(request: Request, served: Served, question: One | Many) -> Response:
    limits = _house(request).limits
    texts = [question.text] if isinstance(question, One) else question.texts
    _remember(request, served, texts)
    if len(texts) > limits.most_texts:
        raise Refused(
            413, f"{len(texts):,} texts at once are too many.", f"Send at most {limits.most_texts:,}."
        )
    _check_texts(texts, limits.most_characters)
    try:
        loaded, answers = await served.predict(texts)
    except Full:
        raise Refused(
            503, "Too many texts are waiting.", "Try again in a second.", headers={"Retry-After": "1"}
        ) from None
    head = json.dumps({"model": served.name, "version": loaded.version}, separators=(",", ":")).encode()
    body = b'%b,"predictions":[%b]}' % (head[:-1], b",".join(answers))
    return Response(body, media_type="application/json")


async def _explain(request: Request, served: Served, text: str) -> Response:
    from ..model.explain import explain  # not before it is asked for

    _remember(request, served, [text])
    _check_texts([text], _most_explained(_house(request).limits))
    if served.explaining >= MOST_EXPLANATIONS:
        raise Refused(
            429, "Too many explanations are waiting.", "Try again soon.", headers={"Retry-After": "2"}
        )
    served.explaining += 1
    try:
        found = await served.aside(lambda model: explain(model, text))
    finally:
        served.explaining -= 1
    return JSONResponse({"model": served.name, "explanation": found.as_json()})


def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


def _served(request: Request) -> list[Served]:
    return list(_house(request).models.values())


def _remember(request: Request, served: Served, texts: list[str]) -> None:
    """For the log: how many texts and how long; the texts themselves only where that was asked for."""
    told = request.scope["told"]
    told |= {"model": served.name, "texts": len(texts), "characters": sum(map(len, texts))}
    if _house(request).log_texts:
        told["text"] = [whole_characters(text) for text in texts]


def _check_texts(texts: list[str], most: int) -> None:
    longest = max(map(len, texts))
    if longest > most:
        raise Refused(413, f"A text of {longest:,} characters is too long.", f"Send at most {most:,}.")
    if any(map(has_half_character, texts)):  # which JSON can spell
        raise Refused(422, "Half a character stands in a text.", "Send whole characters.")


def _most_explained(limits: Limits) -> int:
    return min(limits.most_characters, limits.most_explained_characters)


async def _reload_changed(models: Mapping[str, Served]) -> None:
    """Take over what changes on disk, once it has been still for a moment."""
    before: dict[str, object] = {}
    while True:
        await asyncio.sleep(WATCH_SECONDS)
        for name, served in models.items():
            try:
                news = await asyncio.to_thread(served.news)
                if news is not None and news == before.get(name):
                    await served.reload()
                before[name] = news
            except OSError as error:  # of a moment: what is watched may lie on another machine
                served.log(
                    "the model on disk could not be looked at", model=name, problem=str(error.strerror)
                )


def _describe(app: FastAPI, limits: Limits, names: list[str], *, asks_token: bool) -> None:
    """Put into the description what is true of this service: limits, models, token, what a problem is."""
    make = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema:
            return app.openapi_schema
        schema = make()
        parts = schema["components"]["schemas"]
        parts["Problem"] = Problem.model_json_schema()
        if asks_token:
            schema["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, methods in schema["paths"].items():
            for operation in methods.values():
                operation["responses"]["200"]["description"] = "What was asked for."
                if asks_token and path not in OPEN_PATHS:
                    operation["security"] = [{"token": []}]
                if path.endswith("/explain"):
                    operation["description"] += f" It has at most {_most_explained(limits):,} characters."
                for parameter in operation.get("parameters", ()):
                    parameter["schema"]["enum"] = names  # the only one there is: which model
        most = f"At most {limits.most_characters:,} characters"  # in words: a breach is 413, not 422
        parts["One"]["properties"]["text"]["description"] = f"{most}."
        parts["Many"]["properties"]["texts"]["description"] = f"At most {limits.most_texts:,}. {most} each."
        return schema

    app.openapi = described  # type: ignore[method-assign]
