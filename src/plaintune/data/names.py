"""Names that people give to columns, and what they usually stand for."""

from __future__ import annotations

import re
from collections.abc import Iterable


def word_set(listed: str) -> frozenset[str]:
    """The words of a list that is written out in lines."""
    return frozenset(listed.split())


TEXT_NAMES = word_set("""
    text texts review reviews message messages sms comment comments body sentence sentences question questions
    tweet tweets content document utterance query post description narrative feedback email statement
    transcript texte kommentar nachricht commentaire mensaje texto comentario
""")
LABEL_NAMES = word_set("""
    label labels sentiment category categories class target intent topic rating ratings stars star answer
    answers team tag emotion score polarity verdict genre department outcome spam
    étiquette kategorie klasse catégorie categoría categoria etiqueta clase
""")
TAG_NAMES = word_set("tags genres topics emotions intents keywords")  # several answers for each text
MEASURE_NAMES = word_set(  # numbers, not of classes
    "score scores rating ratings star stars points percent percentage price prices amount similarity"
)
CODE_NAMES = word_set("""
    code codes version versions release section chapter zip zipcode postcode sku isbn
    class classes category categories
""")  # written as numbers at most
CLASS_NAMES = (LABEL_NAMES | TAG_NAMES) - MEASURE_NAMES - {"target", "outcome", "polarity"}
OTHER_NAMES = word_set("""
    id uid uuid guid key index row url link href date time datetime timestamp created updated year
    user username author customer name email phone address city country location company source file filename
    film movie product thread conversation session ip hash status zip language lang
""")
IDENTITY_WORDS = word_set("""
    id uid user username author customer client account member person patient speaker film movie product item
    thread conversation session dialogue ticket order company store shop restaurant hotel book group source
""")
KNOWN_NAMES = TEXT_NAMES | LABEL_NAMES | OTHER_NAMES


def normalised(name: str) -> str:
    return name.strip().lower()


def words_of(name: str) -> frozenset[str]:
    """The words in a column's name: `reviewText`, `review_text` and `Review Text` hold the same."""
    spaced = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", name)
    return frozenset(re.findall(r"[^\W\d_]+", spaced.lower()))


def unique_names(names: Iterable[str]) -> tuple[str, ...]:
    """``names``, with " (2)", " (3)"… behind those that stood before."""
    unique: dict[str, None] = {}
    for name in names:
        copy, candidate = 1, name
        while candidate in unique:
            copy += 1
            candidate = f"{name} ({copy})"
        unique[candidate] = None
    return tuple(unique)
