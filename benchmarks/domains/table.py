"""Make a table of three domains, clip art, photographs and symbols, for ``python -m benchmarks.domains``.

Clip art is the bundled set. Photographs are a folder in the layout of Flickr8k. Symbols are the PNG files of an icon
theme, whose names are their texts: ``apt-get download oxygen-icon-theme``, ``dpkg -x oxygen-icon-theme*.deb icons``::

    python -m benchmarks.domains.table --photographs flickr8k --symbols icons/usr/share/icons/oxygen/base/128x128 \\
        --out domains.csv

An item has one text, the first of its captions; items of one text are one group. Of each domain there are as many
items, the same for the same input.
"""

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path

from benchmarks.record import Parser, command, path, positive
from datamodules.clipart import DATA
from ground.errors import UserError

COLUMNS = ("image", "text", "group", "domain")
Pair = tuple[Path, str]


def clip_art() -> list[Pair]:
    """The bundled images with their titles."""
    records = map(json.loads, (DATA / "pairs.jsonl").read_text(encoding="utf-8").splitlines())
    return [(DATA / record["image"], record["captions"][0]) for record in records]


def photographs(folder: Path) -> list[Pair]:
    """The images that are there of Flickr8k, with the first caption of each.

    Raises:
        UserError: no captions.
    """
    tokens = folder / "Flickr8k.token.txt"
    if not tokens.is_file():
        raise UserError(f"--photographs: there is no {tokens}: give a folder in the layout of Flickr8k")
    firsts: dict[str, str] = {}
    for line in tokens.read_text(encoding="utf-8").splitlines():
        name, _, caption = line.partition("\t")
        firsts.setdefault(name.partition("#")[0], caption.strip())
    pairs = [(folder / "Flicker8k_Dataset" / name, caption) for name, caption in firsts.items()]
    return [(file, caption) for file, caption in pairs if file.is_file()]


def symbols(folder: Path) -> list[Pair]:
    """The icons below a folder, one of each name, which is their text: ``document-open.png`` is "document open".

    Raises:
        UserError: none.
    """
    files = {file.stem: file for file in sorted(folder.rglob("*.png")) if not file.is_symlink()}
    if not files:
        raise UserError(f"--symbols: there is no PNG file in {folder}: give the folder of an icon theme")
    return [(file, " ".join(name.replace("_", "-").split("-"))) for name, file in sorted(files.items())]


def written(domains: dict[str, list[Pair]], most: int, out: Path) -> int:
    """The table of these domains, as many items of each, ``most`` at most; that number.

    Raises:
        UserError: it cannot be written.
    """
    each = min(most, *map(len, domains.values()))
    numbers: dict[str, int] = {}
    try:
        with out.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            for name, pairs in domains.items():
                for image, text in random.Random(0).sample(sorted(pairs), each):
                    table.writerow([image.resolve(), text, numbers.setdefault(text.lower(), len(numbers)), name])
    except OSError as error:
        raise UserError(f"--out: cannot write {out}: {error.strerror}") from error
    return each


def main(argv: Sequence[str]) -> None:
    parser = Parser("python -m benchmarks.domains.table", description=__doc__)
    parser.add_argument("--photographs", type=path, required=True, metavar="FOLDER")
    parser.add_argument("--symbols", type=path, required=True, metavar="FOLDER")
    parser.add_argument("--out", type=path, required=True, metavar="FILE.csv")
    parser.add_argument("--most", type=positive, default=600, help="items of each domain; default: 600")
    arguments = parser.parse_args(argv)
    domains = {
        "clip art": clip_art(),
        "photographs": photographs(arguments.photographs),
        "symbols": symbols(arguments.symbols),
    }
    each = written(domains, arguments.most, arguments.out)
    print(f"{each} items of each of {', '.join(domains)}: {arguments.out}")


if __name__ == "__main__":
    command(main)
