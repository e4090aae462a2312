"""The model card: what a stranger should know before using the model."""

from __future__ import annotations

from .folder import Manifest


def model_card(manifest: Manifest, name: str) -> str:
    """README.md of a model folder: what it does, how well, resting on what. Holds no text of a user."""
    scores = manifest.scores
    low, high = scores["score_interval"]
    answers = ", ".join(f"`{answer}`" for answer in manifest.classes[:50])
    more = f" and {len(manifest.classes) - 50} more" if len(manifest.classes) > 50 else ""
    choices = "\n".join(f"- {c['name']}: {c['value']} — {c['reason']}" for c in manifest.choices)
    texts = " and ".join(f"`{column}`" for column in manifest.text_columns)
    return f"""# {name}

Answers `{manifest.label_column or "the question"}` for an English text ({texts}): {answers}{more}.

**Right {scores["score"]:.1%} of the time** on {scores["rows"]:,} examples it had never seen
(95% sure: {low:.1%} to {high:.1%}; macro-F1 {scores["macro_f1"]:.3f}).
Always guessing `{manifest.majority_class}` gives {scores["majority_score"]:.1%}, counting words
{scores["baseline_score"]:.1%}.

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
worse: measure with `plaintune evaluate`. Beyond {manifest.max_length_tokens} tokens the network sees only the
beginning and the end of a text; the n-gram part sees it whole.
"""
