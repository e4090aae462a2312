"""Does the check-up say what is the matter? `python benchmarks/verdict.py`.

Seven cases, made from real sets where that can be, each over some seeds: `plaintune check` on a file, the
verdict compared with what we know of the case. Then the healthy sets as they are, which must raise no alarm.
"""

from __future__ import annotations

import random
import string
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from common import (
    Results,
    TextSet,
    code_version,
    load_set,
    parser,
    run_child,
    sample,
    say,
    scratch_folder,
)
from section import Line, Section

ROWS = 1200
ALARMS = {"random labels", "leak", "too few", "nothing to transfer", "goal out of reach"}
HEALTHY = ("sms", "trec-coarse", "banking77", "imdb")
TOPICS = {
    "kitchen": "bread oven salt pepper onion soup knife butter flour garlic pan boil roast spoon sugar",
    "garage": "engine tyre brake oil wheel clutch battery road gear fuel mirror seat horn repair van",
    "garden": "rose soil seed lawn spade weed tree hedge water shade bloom root leaf fence compost bee",
}
FILLER = ("the", "a", "we", "they", "was", "it", "then", "and", "but", "very", "after", "with", "some", "two")
OPTIONS = {"goal out of reach": ("--goal", "0.98")}


def random_labels(data: Path, rng: random.Random) -> TextSet:
    """Real texts whose answers were shuffled."""
    whole = sample(load_set(rng.choice(["sms", "trec-coarse", "imdb"]), data), ROWS, seed=rng.randrange(999))
    names = [rng.choice(["yes", "no"]) for _ in whole.labels]
    return _with(whole, whole.texts, names)


def leak(data: Path, rng: random.Random) -> TextSet:
    """A prefix, a signature or the answer's name, put in when the answer was known."""
    whole = sample(load_set(rng.choice(["trec-coarse", "imdb"]), data), ROWS, seed=rng.randrange(999))
    codes = {name: "".join(rng.choices(string.ascii_uppercase, k=3)) for name in whole.classes}
    kind = rng.choice(["prefix", "signature", "name"])

    def told(text: str, name: str) -> str:
        if kind == "prefix":
            return f"[{codes[name]}-{rng.randrange(10_000)}] {text}"
        return f"{text} -- team {codes[name]}" if kind == "signature" else f"{text} (filed under {name})"

    texts = [told(text, name) for text, name in zip(whole.texts, whole.labels, strict=True)]
    return _with(whole, texts, whole.labels)


def too_few(data: Path, rng: random.Random) -> TextSet:
    """Three dozen rows."""
    whole = load_set(rng.choice(["sms", "trec-coarse", "imdb"]), data)
    return sample(whole, 36, seed=rng.randrange(999))


def counting(data: Path, rng: random.Random) -> TextSet:
    """Topics that are plain from their words, with a few slips in the answers."""
    texts, names = [], []
    for _ in range(ROWS):
        name = rng.choice(list(TOPICS))
        other = rng.choice(list(TOPICS))
        words = rng.choices(TOPICS[name].split(), k=4) + rng.choices(TOPICS[other].split(), k=1)
        words += rng.choices(FILLER, k=9)
        rng.shuffle(words)
        texts.append(" ".join(words))
        names.append(name if rng.random() > 0.03 else rng.choice(list(TOPICS)))
    return TextSet("topics", tuple(texts), tuple(names), np.arange(ROWS))


def pays(data: Path, rng: random.Random) -> TextSet:
    """Real sets on which understanding the sentence helps."""
    whole = load_set(rng.choice(["trec-coarse", "trec-fine", "banking77"]), data)
    return sample(whole, 3 * ROWS, seed=rng.randrange(999))


def forbidden_goal(data: Path, rng: random.Random) -> TextSet:
    """A real set with one answer in eight changed at random, and a goal that this forbids."""
    whole = sample(load_set(rng.choice(["trec-coarse", "sms"]), data), 2 * ROWS, seed=rng.randrange(999))
    names = [
        n if rng.random() > 0.125 else rng.choice([c for c in whole.classes if c != n]) for n in whole.labels
    ]
    return _with(whole, whole.texts, names)


def foreign(data: Path, rng: random.Random) -> TextSet:
    """Codes, or a real set in letters exchanged one for one: words stay words, and mean nothing."""
    if rng.random() < 0.5:
        letters = list(string.ascii_lowercase)
        exchanged = dict(zip(letters, rng.sample(letters, 26), strict=True))
        whole = sample(load_set(rng.choice(["imdb", "sms"]), data), 2 * ROWS, seed=rng.randrange(999))
        texts = ["".join(exchanged.get(letter, letter) for letter in text.lower()) for text in whole.texts]
        return _with(whole, texts, whole.labels)
    codes = ["".join(rng.choices(string.ascii_lowercase + string.digits, k=5)) for _ in range(300)]
    telling = {"fault": codes[:12], "fine": codes[12:24]}
    made, names = [], []
    for _ in range(ROWS):
        name = rng.choice(list(telling))
        words = rng.choices(codes[24:], k=10) + rng.choices(telling[name], k=rng.choice([1, 2]))
        rng.shuffle(words)
        made.append(" ".join(words))
        names.append(name if rng.random() > 0.05 else rng.choice(list(telling)))
    return TextSet("codes", tuple(made), tuple(names), np.arange(ROWS))


CASES: dict[str, Callable[[Path, random.Random], TextSet]] = {
    "random labels": random_labels,
    "leak": leak,
    "too few": too_few,
    "counting words is enough": counting,
    "deep learning pays": pays,
    "goal out of reach": forbidden_goal,
    "nothing to transfer": foreign,
}


def _with(whole: TextSet, texts: Any, labels: Any) -> TextSet:
    return TextSet(whole.name, tuple(texts), tuple(labels), whole.groups)


def verdict_of(rows: TextSet, options: Sequence[str]) -> dict[str, Any]:
    """What the command says of a file of these rows."""
    with scratch_folder() as folder:
        file = rows.write_csv(folder / "rows.csv")
        command = [sys.executable, "-m", "plaintune", "check", str(file), "--json", "--quiet", *options]
        child = run_child(command, folder=folder, limit_minutes=20)
    if child.problem:
        return {"problem": child.problem}
    told = child.told
    return {
        "verdict": told["verdict"],
        "words": told["verdict_words"],
        "measured": told["measured"],
        **child.cost,
    }


def judged(case: str, name: str | int, data: Path) -> dict[str, Any]:
    """The verdict on one seed of a case, or on a healthy set."""
    say(f"{case}, {name}")
    if case == "healthy":
        rows = sample(load_set(str(name), data), 5000, seed=0)
    else:
        rows = CASES[case](data, random.Random(f"{case}{name}"))
    return verdict_of(rows, OPTIONS.get(case, ()))


def rows_of(lines: list[Line]) -> list[list[str]]:
    """A row per case."""
    cases: dict[str, list[str]] = {}
    for line in lines:
        cases.setdefault(line["key"]["case"], []).append(line["figures"].get("verdict", "problem"))
    table = []
    for case, said in cases.items():
        right = sum(v not in ALARMS if case == "healthy" else v == case for v in said)
        told = ", ".join(f"{count} × {verdict}" for verdict, count in Counter(said).most_common())
        table.append([case, f"{right} of {len(said)}", told])
    return table


SECTION = Section("verdict", "What the check-up says", ("case", "right", "verdicts"), rows_of)


def main() -> None:
    """Judge each case and seed that is not in the results yet, then the healthy sets."""
    options = parser(__doc__, "python benchmarks/verdict.py --seeds 1")
    options.add_argument("--seeds", type=int, default=5, help="of each case")
    options.add_argument("--cases", nargs="+", default=[*CASES, "healthy"], help="which")
    asked = options.parse_args(sys.argv[1:])
    results = Results(asked.results, "verdict", again=asked.again, any_code=asked.any_code)
    lines = []
    for case in asked.cases:
        for name in HEALTHY if case == "healthy" else range(asked.seeds):
            key = {"case": case, "seed": name, "code": code_version()}
            lines.append(results.line(key, partial(judged, case, name, asked.data)))
    SECTION.show(lines)


if __name__ == "__main__":
    main()
