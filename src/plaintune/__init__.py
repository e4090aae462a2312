"""plaintune: a file of labelled text in, a classifier you can trust and deploy out.

    import plaintune as pt
    model = pt.train("reviews.csv")
    model.predict(["Loved it"])[0].answer

Importing it is light; torch and the rest are loaded by the function that needs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import check, load, quote, train
    from .core.errors import UserError
    from .estimator import TextClassifier
    from .model.predict import Model, Prediction

__version__ = "0.1.0"
__all__ = ["Model", "Prediction", "TextClassifier", "UserError", "check", "load", "quote", "train"]

_HOME = {
    "Model": "model.predict",
    "Prediction": "model.predict",
    "TextClassifier": "estimator",
    "UserError": "core.errors",
    "check": "api",
    "load": "api",
    "quote": "api",
    "train": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'plaintune' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
