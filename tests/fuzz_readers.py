"""A fuzzer for the readers and the structural check: `python tests/fuzz_readers.py -max_total_time=600`.

It needs atheris (`pip install atheris`, Apache-2.0; Linux). The first byte chooses the kind of file, the
rest is its content. What may come out is a table of examples or a UserError; anything else is a fault of
ours, as is a file that takes more than `-timeout` seconds. Findings stay in `crash-*`, to be run by name.
"""

from __future__ import annotations

import gzip
import io
import sys
import tempfile
import zipfile
from pathlib import Path

SUFFIXES = (".csv", ".tsv", ".jsonl", ".json", ".txt", ".csv.gz", ".zip", ".parquet", ".xlsx", ".label")
CORNERS = (
    'text,label\n"a good day",yes\n"a bad ""day""",no\n' * 6,
    "text;label\nein Tag;ja\nnoch ein Tag;nein\n" * 6,
    "text,text,label\na,b,yes\nc,d,no\n" * 4,
    'text,label\n"never closed,yes\nnext,no\n' * 4,
    "text,label\none,two,three,four\nfive\n,\n" * 4,
    "text\tlabel\nnul\0byte\tyes\nother\tno\n" * 4,
    "\ufeffreview,stars\n😀 great 👍🏽,5\nمرحبا بالعالم,1\n" * 4,
    '{"text": "a day", "label": "yes"}\n{"text": null, "label": ["a", 2]}\n[1]\n' * 4,
    '[{"text": "a", "label": "x"}, {"text": {"b": [1e999, "c"]}, "label": "y"}]',
    "LOC:city Where is it ?\nNUM:date When was it ?\n" * 6,
    "label,text\n" + "yes," + "word " * 3000 + "\nno,short\n" * 5,
    'text,label\r"old mac",yes\r"line",no\r' * 5,
)


def read_and_check(content: bytes, suffix: str) -> int | None:
    """How many examples there are in a file of this content; None where it is refused."""
    from plaintune.core.errors import UserError
    from plaintune.data.check import check_examples
    from plaintune.data.describe import describe
    from plaintune.data.read import read_examples
    from plaintune.data.repeats import find_repeats

    with tempfile.TemporaryDirectory(prefix="plaintune-fuzz-") as folder:
        file = Path(folder) / f"data{suffix}"
        file.write_bytes(content)
        try:
            examples = read_examples(file, strict_rows=False, keep_lone=True)
        except UserError as refusal:
            complete = bool(refusal.problem and refusal.fix)
            examples = None
        if examples is None:
            assert complete, "a refusal that does not say what is wrong and what to do"
            return None
        describe(examples)
        check_examples(examples, find_repeats(examples, None), source=file).as_json()
        assert len(examples.texts) == len(examples.rows)
        assert len(set(examples.rows.tolist())) == len(examples.rows), "a row was read twice"
        return len(examples)


def one_input(data: bytes) -> None:
    """What the fuzzer calls."""
    if data:
        read_and_check(data[1:], SUFFIXES[data[0] % len(SUFFIXES)])


def seeds(folder: Path) -> None:
    """Files to begin with: each corner case in each kind that it fits, plain and packed."""
    for number, corner in enumerate(CORNERS):
        for encoding in ("utf-8", "utf-16", "cp1252"):
            plain = corner.encode(encoding, "replace")
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w") as archive:
                archive.writestr("data.csv", plain)
            forms = {0: plain, 2: plain, 4: plain, 5: gzip.compress(plain), 6: packed.getvalue()}
            for kind, content in forms.items():
                (folder / f"{number}-{encoding}-{kind}").write_bytes(bytes([kind]) + content)


def main() -> None:
    """Fuzz until told to stop; arguments are libFuzzer's."""
    import atheris

    with atheris.instrument_imports(include=["plaintune.data"]):
        import plaintune.data.check
        import plaintune.data.read  # noqa: F401
    with tempfile.TemporaryDirectory(prefix="plaintune-seeds-") as folder:
        seeds(Path(folder))
        given = sys.argv[1:]
        files = [argument for argument in given if not argument.startswith("-")]
        atheris.Setup([sys.argv[0], *given, *([] if files else [folder])], one_input)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
