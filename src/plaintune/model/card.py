"""The model card: what a stranger should know before using the model."""

from __future__ import annotations

from ..core.metrics import plain_number
from ..core.tasks import Task
from .folder import Manifest


def model_card(manifest: Manifest, name: str) -> str:
    """README.md of a model folder: what it does, how well, resting on what. Holds no text of a user."""
    choices = "\n".join(f"- {c['name']}: {c['value']} — {c['reason']}" for c in manifest.choices)
    texts = " and ".join(f"`{column}`" for column in manifest.text_columns)
    columns = " and ".join(f"`{column}`" for column in manifest.label_columns) or "the question"
    return f"""# {name}

Answers {columns} for a text ({texts}): {_answers(manifest)}.

**{how_good(manifest)}**
{compared(manifest)}

## Use

```
plaintune predict {name} "some text"
plaintune evaluate {name} labelled.csv
```

## How it was made

Trained by plaintune {manifest.versions.get("plaintune", "")} in {manifest.seconds / 60:.1f} minutes on
{manifest.data["train_rows"]:,} of {manifest.data["rows"]:,} examples, from the pre-trained model
{manifest.backbone["name"]} (SHA-256 of its weights: `{manifest.backbone["sha256"][:16]}…`).

{choices}

## Limits

The score holds for texts like those it was measured on. Texts of another kind, time or language may fare
worse: measure with `plaintune evaluate`. Beyond {_tokens_seen(manifest)} tokens the network
sees only the beginning and the end of a text; the n-gram part sees it whole.
"""


def how_good(manifest: Manifest) -> str:
    """The score in a sentence, with its interval."""
    scores = manifest.scores
    low, high = scores["score_interval"]
    seen = f"on {scores['rows']:,} examples it had never seen"
    if manifest.task == Task.SINGLE:
        return f"Right {scores['score']:.1%} of the time {seen} (95% sure: {low:.1%} to {high:.1%})."
    if manifest.task == Task.MULTI:
        return (
            f"Micro-F1 {scores['score']:.3f} {seen} (95% sure: {low:.3f} to {high:.3f}); "
            f"{scores['exact_match']:.1%} of the sets are right to the last answer."
        )
    return (
        f"Off by {plain_number(scores['mean_absolute_error'], 3)} on average {seen}; it explains "
        f"{scores['score']:.1%} of the differences (R², 95% sure: {low:.1%} to {high:.1%})."
    )


def compared(manifest: Manifest) -> str:
    """The same score for guessing without reading, and for counting words."""
    scores = manifest.scores
    guess, counted = scores["majority_score"], scores["baseline_score"]
    if manifest.task == Task.SINGLE:
        same = f"'{manifest.majority_class}'" if manifest.majority_class else "the same answer"
        return f"Always guessing {same} would give {guess:.1%}; counting words, {counted:.1%}."
    if manifest.task == Task.MULTI:
        return (
            f"Always giving the most frequent answers would reach {guess:.3f}; counting words, {counted:.3f}."
        )
    return (
        f"Always guessing {plain_number(manifest.prior[0], 3)} would be off by "
        f"{plain_number(scores['majority_mean_absolute_error'], 3)}; counting words explains {counted:.1%}."
    )


def _tokens_seen(manifest: Manifest) -> int:
    return manifest.windows * manifest.max_length_tokens


def _answers(manifest: Manifest) -> str:
    if manifest.task == Task.NUMBER:
        return "a number with the interval that should hold 9 of 10"
    more = f" and {len(manifest.classes) - 50} more" if len(manifest.classes) > 50 else ""
    listed = ", ".join(f"`{answer}`" for answer in manifest.classes[:50]) + more
    return listed if manifest.task == Task.SINGLE else f"any of {listed}"
