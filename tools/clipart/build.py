"""Make the bundled clip-art set from Debian's OpenClipart packages.

Get the packages with ``apt-get install openclipart-png openclipart-svg``, then run from the repository root::

    python -m tools.clipart.build --openclipart /usr/share/openclipart

The PNG tree has the pictures, the SVG tree (same relative names) their titles, keywords and descriptions.
The same input gives the same bytes: everything is sorted and the split is seeded.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import unicodedata
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from rich.progress import track

from datamodules import clipart_data
from datamodules.clipart_data.titles import normalise_title
from ground.errors import UserError
from tools.clipart import captions
from tools.clipart.captions import clean_text

SIZE, MARGIN, QUALITY, MAX_PIXELS = 128, 4, 92, 30_000_000
TOTAL, CATEGORY_CAP, CATEGORY_MIN, GROUP_CAP = 1500, 250, 20, 3
SET_SIZE = 4  # a title that more pictures than this share is the name of a set
SPLITS = {"test": 0.20, "val": 0.134}  # what is left is train
TWIN = 0.975  # cosine of two pictures' ink above which they count as the same drawing

Pictures = dict[str, Image.Image]


@dataclass
class Candidate:
    """One picture that may enter the set."""

    source: str  # path in the package, without its suffix
    category: str
    title: str
    captions: list[str]
    author: str
    score: int  # how rich the captions are
    group: str = field(init=False)

    def __post_init__(self) -> None:
        self.group = normalise_title(self.title)


def tagged(name: str, text: str) -> list[str]:
    """Contents of every <name> element whatever its prefix. A scan, not a parser: some files are broken XML,
    and a scan neither expands entities nor loads a DTD."""
    return re.findall(rf"<(?:\w+:)?{name}\b[^>]*(?<!/)>(.*?)</(?:\w+:)?{name}\s*>", text, re.S | re.I)


def read_metadata(svg: Path) -> dict[str, list[str]]:
    """Title, description, keywords and author of an SVG; empty lists for what it lacks."""
    data = svg.read_bytes() if svg.is_file() else b""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    meta = "".join(tagged("metadata", text)[:1])
    work = re.sub(r"<(\w+:)?Agent\b.*?</(\w+:)?Agent\s*>", "", meta, flags=re.S)  # agents have titles as well
    subject = "".join(tagged("subject", work)[:1])
    return {
        "linked": re.findall(r"<(?:\w+:)?image\b[^>]*href=[\"'](?!data:)", text),  # drawn as an error sign
        "title": tagged("title", work)[:1] or tagged("title", text.replace(meta, ""))[:1],
        "description": tagged("description", work)[:1] or tagged("desc", text.replace(meta, ""))[:1],
        "keywords": tagged("li", subject),
        "author": tagged("title", "".join(tagged("creator", meta)[:1]))[:1],
    }


def describe(source: str, meta: dict[str, list[str]], sets: Counter[str]) -> Candidate | str:
    """The candidate for one picture, or the reason why it has none."""
    raw_title, raw_description = "".join(meta["title"]), "".join(meta["description"])
    author = re.sub(r"[(\[<].*|\S+@\S+", "", clean_text("".join(meta["author"]))).strip(" ,;-.")
    title = captions.clean_title(raw_title)
    if sets[raw_title.strip()] > SET_SIZE or title.casefold() in ("", author.casefold()):
        title = captions.title_from_name(source, author)  # the name of a set or of its author tells nothing
    if not normalise_title(title):
        return "no title in words"
    every = " ".join([source, title, raw_description, *meta["keywords"]]).replace("_", " ")
    if captions.OFFENSIVE.search(every):
        return "weapons, gore, sexual, hateful"
    if captions.PART_OF_SET.search(" ".join([raw_title, *meta["keywords"]]).replace("_", " ")):
        return "part of a set of icons, flags, maps or road signs"
    if captions.foreign(title, f"{author} {source}"):
        title = captions.in_english(title)
        if not title:
            return "title in another language"
    if meta["linked"] or captions.DROPPED.match(source):
        return "linked raster missing, or dropped by eye"
    texts, phrase = [title], captions.keyword_phrase(meta["keywords"], title, author)
    for text in (phrase, captions.clean_description(raw_description, title)):
        if text and text.casefold() not in [t.casefold() for t in texts]:
            texts.append(text)
    line_art = bool(re.search(r"\b(b and w|bw)\b", title, re.IGNORECASE))
    score = min(phrase.count(","), 4) + 3 * len(texts) - 4 * line_art
    return Candidate(source, captions.category(source), title, texts, author, score)


def render(png: Path) -> Image.Image | None:
    """The drawing cropped to its ink, on a white square; None if huge, broken, tiny or nearly blank."""
    try:
        with warnings.catch_warnings(action="error"), Image.open(png) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                return None
            rgba = opened.convert("RGBA")
    except (OSError, ValueError, Image.DecompressionBombError, Warning):
        return None
    flat = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    box = flat.convert("L").point(lambda v: 255 * (v < 245)).getbbox()
    if box is None or max(box[2] - box[0], box[3] - box[1]) < 48:
        return None
    drawing, inner = flat.crop(box), SIZE - 2 * MARGIN
    scale = inner / max(drawing.size)
    size = (max(1, round(drawing.width * scale)), max(1, round(drawing.height * scale)))
    drawing = drawing.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    square = Image.new("RGB", (SIZE, SIZE), "white")
    square.paste(drawing, ((SIZE - size[0]) // 2, (SIZE - size[1]) // 2))
    return square if (255 - np.asarray(square, float)).mean() > 6 and min(size) >= 20 else None


def select(pool: list[Candidate], pictures: Pictures, counts: dict[str, int]) -> list[Candidate]:
    """Richest captions first: no twins, few pictures a title, as even over categories as the pool allows."""
    ranked = sorted(pool, key=lambda c: (-c.score, c.source))
    ink = {c.source: 255.0 - np.asarray(pictures[c.source].resize((24, 24)), float).ravel() for c in ranked}
    kept: list[Candidate] = []
    vectors, groups = np.empty((len(ranked), 24 * 24 * 3)), Counter[str]()
    for c in ranked:
        vector = ink[c.source] / np.linalg.norm(ink[c.source])
        if groups[c.group] < GROUP_CAP and (vectors[: len(kept)] @ vector < TWIN).all():
            vectors[len(kept)] = vector
            groups[c.group] += 1
            kept.append(c)
    counts["after near-identical drawings and full title groups were left out"] = len(kept)
    sizes = Counter(c.category for c in kept)
    kept = [c for c in kept if sizes[c.category] >= CATEGORY_MIN]
    counts[f"in categories of at least {CATEGORY_MIN}"] = len(kept)
    cap = CATEGORY_CAP
    while sum(min(n, cap) for n in Counter(c.category for c in kept).values()) > TOTAL:
        cap -= 1
    chosen = [c for label in sizes for c in [c for c in kept if c.category == label][:cap]]
    counts[f"chosen, at most {cap} a category"] = len(chosen)
    return sorted(chosen, key=lambda c: (c.category, c.title.casefold(), c.source))


def split(chosen: list[Candidate]) -> dict[str, str]:
    """Split of each title group, even over categories; a group never crosses splits."""
    assigned: dict[str, str] = {}
    sizes = Counter(c.group for c in chosen)
    for category in sorted({c.category for c in chosen}):
        groups = sorted({c.group for c in chosen if c.category == category} - assigned.keys())
        random.Random(f"clipart/{category}").shuffle(groups)
        total, done = sum(sizes[g] for g in groups), 0
        for group in groups:
            bound_test, bound_val = SPLITS["test"] * total, sum(SPLITS.values()) * total
            assigned[group] = "test" if done < bound_test else "val" if done < bound_val else "train"
            done += sizes[group]
    return assigned


def build(openclipart: Path, out: Path) -> dict[str, int]:
    """Write images/ and pairs.jsonl under ``out``; returns the count after each step."""
    if not (openclipart / "png").is_dir():
        raise UserError(f"{openclipart} has no folder png/: give the folder of the OpenClipart packages")
    if (out / "images").exists() and not (out / "pairs.jsonl").is_file():
        raise UserError(f"{out / 'images'} is not from this command and would be replaced: give another --out")
    sources = sorted(p.relative_to(openclipart / "png") for p in (openclipart / "png").rglob("*.png"))
    names = [s.with_suffix("").as_posix() for s in sources]
    counts = {"pictures in the package": len(names)}
    names = [n for n in names if not captions.LEFT_OUT.match(n)]
    counts["outside icon, flag, shape, sign and other left-out folders"] = len(names)
    unique: dict[Path, str] = {}
    for name in names:  # the package links a picture from several folders
        unique.setdefault((openclipart / "png" / f"{name}.png").resolve(), name)
    names = sorted(unique.values())
    counts["distinct files"] = len(names)
    metas = {n: read_metadata(openclipart / "svg" / f"{n}.svg") for n in names}
    sets = Counter("".join(m["title"]).strip() for m in metas.values())
    pool: list[Candidate] = []
    pictures: Pictures = {}
    reasons: Counter[str] = Counter()
    for name in track(names, "Reading OpenClipart"):
        found = describe(name, metas[name], sets)
        picture = None if isinstance(found, str) else render(openclipart / "png" / f"{name}.png")
        if isinstance(found, str) or picture is None:
            reasons[found if isinstance(found, str) else "unreadable, tiny or nearly blank"] += 1
            continue
        pool.append(found)
        pictures[name] = picture
    counts |= {f"left out: {reason}": n for reason, n in sorted(reasons.items())}
    counts["candidates"] = len(pool)
    chosen = select(pool, pictures, counts)
    splits = split(chosen)
    write(chosen, pictures, splits, out)
    return counts


def write(chosen: list[Candidate], pictures: Pictures, splits: dict[str, str], out: Path) -> None:
    """The WebP files and pairs.jsonl, sorted by image path."""
    shutil.rmtree(out / "images", ignore_errors=True)
    rows: dict[str, dict[str, object]] = {}
    for c in chosen:
        slug = re.sub("[^a-z0-9]+", "-", unicodedata.normalize("NFKD", c.title).casefold())[:40].strip("-")
        names = (f"images/{c.category}/{slug}{number}.webp" for number in ["", *(f"-{n}" for n in range(2, 99))])
        image = next(name for name in names if name not in rows)
        (out / image).parent.mkdir(parents=True, exist_ok=True)
        pictures[c.source].save(out / image, "WEBP", quality=QUALITY, method=6)
        row = {"image": image, "title": c.title, "captions": c.captions, "category": c.category}
        rows[image] = {**row, "split": splits[c.group], "source": f"{c.source}.png"}
        rows[image] |= {"author": c.author} if c.author else {}
    lines = [json.dumps(rows[image], ensure_ascii=False) + "\n" for image in sorted(rows)]
    (out / "pairs.jsonl").write_text("".join(lines), encoding="utf-8", newline="\n")


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make the bundled clip-art set.")
    parser.add_argument("--openclipart", type=Path, required=True, help="folder with png/ and svg/")
    parser.add_argument("--out", type=Path, default=Path(clipart_data.__file__).parent, help="default: the package's")
    args = parser.parse_args()
    try:
        for step, count in build(args.openclipart, args.out).items():
            print(f"{count:6d}  {step}")
    except UserError as error:
        parser.exit(2, f"{error}\n")


if __name__ == "__main__":
    main()
