"""The command that says which words decided an answer."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..core.errors import OutputExists, printable
from .app import Json, Yes, app, print_json

if TYPE_CHECKING:
    from rich.text import Text

    from ..model.explain import Explanation

SHOWN = 8  # words in the list below the text
STRONG = 0.15  # of the strongest pull, from which a word is marked
PULLED_ANSWER = {"helped": "that pulled towards this answer", "hindered": "against it"}
PULLED_NUMBER = {"helped": "that raised the number", "hindered": "that lowered it"}


@app.command(epilog='Example: plaintune explain reviews-model "Slow, but the ending is superb"')
def explain(
    model: Annotated[Path, typer.Argument(help="The folder that train wrote, or a .plaintune file.")],
    text: Annotated[str, typer.Argument(help="A text.")],
    answer: Annotated[
        str | None, typer.Option(metavar="A", help="What speaks for this answer. [default: the one given]")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it as a page, too.")] = None,
    as_json: Json = False,
    yes: Yes = False,
) -> None:
    """Say which words decided an answer."""
    from ..core.files import write_text
    from ..data.write import make_room
    from ..model.explain import explain as explain_text
    from ..model.predict import Model

    if html is not None and html.exists() and not yes:
        raise OutputExists(f"{html} exists already.", "Add --yes to replace it, or choose another name.")
    if html is not None:
        make_room(html)
    found = explain_text(Model.load(model), text, answer=answer)
    if html is not None:
        write_text(html, as_page(found))
    if as_json:
        print_json(found.as_json())
        return
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{printable(found.told)}  ({_sure(found)})", markup=False)
    console.print(_coloured(found))
    for piece in found.strongest[:SHOWN]:
        console.print(f"  {piece.weight:+.2f}  {printable(piece.text)}", markup=False)
    if found.interval is None:
        console.print("+ pulls towards the answer, - away from it (in log odds).")
    else:
        console.print("+ raised the number, - lowered it (in its unit).")


def _sure(found: Explanation) -> str:
    """How sure the model is of the answer; of a number, between which numbers it should lie."""
    from ..core.metrics import plain_number, sureness

    if found.interval is None:
        return sureness(found.confidence) + ("" if found.given else ", not its answer")
    low, high = map(plain_number, found.interval)
    return f"{found.confidence:.0%} sure: {low} to {high}"


def _coloured(found: Explanation) -> Text:
    """The text with the words that pulled in colour; without colours the list below says the same."""
    from rich.text import Text

    strongest = max((abs(piece.weight) for piece in found.pieces), default=0.0)
    styled = Text()
    for piece in found.pieces:
        style = ""
        if strongest and abs(piece.weight) >= STRONG * strongest:
            style = "bold blue" if piece.weight > 0 else "bold underline dark_orange3"
        lines = (printable(line) for line in piece.text.split("\n"))
        styled.append("\n".join(lines), style)
    return styled


def as_page(found: Explanation) -> str:
    """The explanation as one self-contained HTML page, without script."""
    strongest = max((abs(piece.weight) for piece in found.pieces), default=0.0)
    marked = []
    for piece in found.pieces:
        strength = abs(piece.weight) / strongest if strongest else 0.0
        if strength < STRONG:
            marked.append(escape(piece.text))
            continue
        side = "for" if piece.weight > 0 else "against"
        title = f"{piece.weight:+.2f}"
        mark = f'<mark class="{side}" style="--pull:{strength:.2f}" title="{title}">'
        marked.append(f"{mark}{escape(piece.text)}</mark>")
    pulled = PULLED_ANSWER if found.interval is None else PULLED_NUMBER
    return PAGE.format(
        answer=escape(found.told), sure=_sure(found).capitalize(), text="".join(marked), **pulled
    )


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{answer} · plaintune explain</title>
<style>
:root {{ --page: #fdfdfc; --ink: #1d2129; --soft: #555c68; --for: #1f5fa8; --against: #a84a12; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --page: #14171c; --ink: #e8e9ea; --soft: #a8b0bb; --for: #7fb4f0; --against: #f0a26b; }}
}}
body {{ background: var(--page); color: var(--ink); max-width: 44rem; margin: 2rem auto; padding: 0 1.2rem;
  font: 1.05rem/1.7 system-ui, sans-serif; overflow-wrap: anywhere; }}
.text {{ white-space: pre-wrap; }} .how {{ color: var(--soft); }}
mark {{ color: inherit; border-radius: .15rem; }}
.for {{ background: color-mix(in srgb, var(--for) calc(8% + 25% * var(--pull, .6)), transparent);
  border-bottom: 2px solid var(--for); }}
.against {{ background: color-mix(in srgb, var(--against) calc(8% + 25% * var(--pull, .6)), transparent);
  border-bottom: 2px dotted var(--against); }}
</style></head><body><main>
<h1>{answer}</h1><p class="how">{sure}. Words {helped} are
<mark class="for">underlined in blue</mark>, words {hindered}
<mark class="against">dotted in orange</mark>; the stronger, the darker.</p>
<p class="text">{text}</p>
</main></body></html>
"""
