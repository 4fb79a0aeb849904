"""The bundled clip-art set, and the script that makes it."""

import json
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from datamodules import clipart_data
from datamodules.clipart_data.titles import normalise_title
from ground.errors import UserError
from tools.clipart import captions
from tools.clipart.build import build, read_metadata, render
from tools.clipart.captions import (
    clean_description,
    clean_text,
    clean_title,
    in_english,
    keyword_phrase,
    title_from_name,
)

ROOT = Path(clipart_data.__path__[0])
Row = dict[str, str]


def read_rows(folder: Path) -> list[Row]:
    return [json.loads(line) for line in (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return read_rows(ROOT)


def test_counts_and_fields(rows: list[Row]) -> None:
    assert 1400 <= len(rows) <= 1600
    assert [r["image"] for r in rows] == sorted({r["image"] for r in rows})
    assert all({"image", "title", "captions", "category", "split", "source"} <= r.keys() for r in rows)
    splits = Counter(r["split"] for r in rows)
    assert 900 <= splits["train"] <= 1100
    assert 150 <= splits["val"] <= 250
    assert 250 <= splits["test"] <= 350


def test_every_image_is_a_small_webp_and_there_is_nothing_else(rows: list[Row]) -> None:
    for row in rows:
        with Image.open(ROOT / row["image"]) as image:
            image.load()
            assert (image.format, image.mode, image.size) == ("WEBP", "RGB", (128, 128))
        assert re.fullmatch(r"images/[a-z_]+/[a-z0-9][a-z0-9-]*\.webp", row["image"])
        assert row["image"].split("/")[1] == row["category"]
    files = {p.relative_to(ROOT).as_posix() for p in (ROOT / "images").rglob("*") if p.is_file()}
    assert files == {row["image"] for row in rows}


def test_size_is_under_six_megabytes() -> None:
    files = [p for p in ROOT.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert sum(p.stat().st_size for p in files) < 6e6


def test_captions_are_one_to_three_clean_and_distinct(rows: list[Row]) -> None:
    for row in rows:
        texts = row["captions"]
        assert 1 <= len(texts) <= 3
        assert len({t.casefold() for t in texts}) == len(texts)
        assert texts[0] == row["title"]
        assert all(t == clean_text(t) != "" and len(t) <= 300 for t in texts)
        assert not any(re.search(r"https?:|@|hash\(|clip ?art", t, re.IGNORECASE) for t in texts), texts


def test_splits_are_disjoint_by_title_and_groups_small(rows: list[Row]) -> None:
    splits, sizes = defaultdict(set), Counter[str]()
    for row in rows:
        key = normalise_title(row["title"])
        assert key
        splits[key].add(row["split"])
        sizes[key] += 1
    assert all(len(found) == 1 for found in splits.values())
    assert max(sizes.values()) <= 3


def test_every_category_serves_as_a_class(rows: list[Row]) -> None:
    sizes = Counter(row["category"] for row in rows)
    assert min(sizes.values()) >= 20
    assert max(sizes.values()) <= 250
    assert {(r["category"], r["split"]) for r in rows} == {(c, s) for c in sizes for s in ("train", "val", "test")}


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("L&amp;Atilde;&amp;copy;zard", "Lézard"),  # escaped twice, and UTF-8 read as Latin-1
        ("Gelato all&amp;#39;italiana", "Gelato all'italiana"),
        ("  a \n\t b\u0007 ", "a b"),
        ("<b>old</b> book", "old book"),
        ("\u00c3 broken \u4e2d", ""),
        ("bad \ufffd byte", ""),
    ],
)
def test_clean_text(raw: str, clean: str) -> None:
    assert clean_text(raw) == clean


@pytest.mark.parametrize("title", ["Frog 01", "frog_2", "FROG", "Frog (B and W)", "frog bw", " frog-3. "])
def test_titles_that_count_as_one(title: str) -> None:
    assert normalise_title(title) == "frog"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Tigre03", "Tigre"),
        ("BlueMan#101", "Blue Man"),
        ("books-aj.svg", "books-aj"),
        ("05_fullmoon_openclipart", "fullmoon"),
        ("8 ball", "8 ball"),
        ("Clipart by Nicu Buculei - book_01", ""),
        ("R16 sibmission", ""),
        ("SVG Road Signs", ""),
        ("Blueberry - iconset", ""),
        ("path1234", ""),
        ("Untitled", ""),
        ("12345", ""),
        ("M", ""),
        ("brrr", ""),
    ],
)
def test_clean_title(raw: str, clean: str) -> None:
    assert clean_title(raw) == clean


@pytest.mark.parametrize(
    ("source", "author", "title"),
    [
        ("office/note_with_pin_nicu_bucul_03", "Nicu Buculei", "note with pin"),
        ("computer/satellite_hub_zazou", "zazou", "satellite hub"),
        ("animals/mammals/sheep-md-v0.1", "", "sheep"),
        ("people/people_juliane_krug_04a", "Juliane Krug", "people"),
        ("special/01_02", "", ""),
    ],
)
def test_title_from_name(source: str, author: str, title: str) -> None:
    assert title_from_name(source, author) == title


def test_keyword_phrase_drops_junk_and_repeats() -> None:
    odd = [
        "hash(0x8a3cd28)",
        "",
        "11",
        "clip art",
        "Icecream",
        "ice cream",
        "food ",
        "signs_and_symbols",
        "a@b.org",
    ]
    assert keyword_phrase([*odd, "cone"]) == "ice cream, food, cone"
    assert keyword_phrase(["architetto francesco rollandin", "unsorted"], "Cat") == ""


def test_keyword_phrase_is_led_by_the_title_only_where_it_says_too_little() -> None:
    assert keyword_phrase(["food", "fruit"], "Cherries") == "cherries, food, fruit"
    assert keyword_phrase(["frog", "animal"], "Frog 01") == "frog, animal"
    assert keyword_phrase(["harp", "peterm"], "Celtic Harp", "PeterM") == "celtic harp, harp"
    assert keyword_phrase(["cat"], "Cat") == ""  # would repeat the title


@pytest.mark.parametrize(
    "raw",
    [
        "http://www.wikitronics.org",
        "jean.victor.balin@gmail.com",
        "A Duck",
        "HASH(0x89cb06c)",
        "This is a nice detailed image of clouds.",
        "Clip art for coloring book creation",
        "um telefone legal",
        "The rubber duck",
    ],
)
def test_descriptions_left_out(raw: str) -> None:
    assert clean_description(raw, "Rubber Duck") == ""


def test_long_descriptions_end_at_a_sentence_or_a_word() -> None:
    sentence = "A red and white lighthouse stands on a small rocky island. "
    assert clean_description(sentence, "Lighthouse") == sentence.strip()
    cut = clean_description(sentence * 9, "Lighthouse")
    assert 150 < len(cut) <= 300
    assert cut.endswith("island.")
    words = clean_description("lighthouse " * 90, "Tower")
    assert len(words) <= 300
    assert words.endswith("lighthouse")


def test_foreign_titles_are_translated_or_left_out() -> None:
    assert captions.foreign("Cavallo", "Architetto Francesco Rollandin")
    assert not captions.foreign("Horse", "Jon Phillips")
    assert in_english("Cavallo") == "horse"
    assert in_english("flamand bw") == "flamingo (B and W)"
    assert in_english("Finestra estendi") == ""


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    bomb = '<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;"><!ENTITY x SYSTEM "file:///etc/passwd">]>'
    (tmp_path / "x.svg").write_text(f"{bomb}<svg><metadata><dc:title>&b;&x; frog</dc:title></metadata></svg>")
    assert read_metadata(tmp_path / "x.svg")["title"] == ["&b;&x; frog"]


def test_blank_tiny_and_broken_pictures_are_refused(tmp_path: Path) -> None:
    Image.new("RGBA", (200, 200), (0, 0, 0, 0)).save(tmp_path / "blank.png")
    Image.new("RGB", (20, 20), "red").save(tmp_path / "tiny.png")
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    assert [render(tmp_path / f"{name}.png") for name in ("blank", "tiny", "broken")] == [None] * 3


SVG = """<?xml version="1.0"?><svg><metadata><rdf:RDF><cc:Work><dc:title>{title}</dc:title>
<dc:description>{description}</dc:description><dc:subject><rdf:Bag>{keywords}</rdf:Bag></dc:subject>
<dc:creator><cc:Agent><dc:title>Ann Author (ann@example.org)</dc:title></cc:Agent></dc:creator>
</cc:Work></rdf:RDF></metadata></svg>"""


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tree of four pictures: two good, one with a broken SVG, and one in a folder that is left out."""
    monkeypatch.setattr("tools.clipart.build.CATEGORY_MIN", 1)
    good = SVG.format(
        title="Green Frog 01",
        description="A frog on a leaf.",
        keywords="<rdf:li>frog</rdf:li><rdf:li>green</rdf:li><rdf:li/>",
    )
    broken = '<svg><metadata><dc:title>Brown Dog</dc:title><dc:subject><rdf:li>dog</rdf:li><path d="M0 0'
    boxes = {
        "animals/frog_ann_autho_01": ((20, 20, 180, 90), good),
        "animals/brown_dog_ann_autho_01": ((20, 20, 60, 180), broken),
        "food/cake": (
            (20, 20, 180, 180),
            "<svg><title>Cake</title><desc>A cake with three candles</desc></svg>",
        ),
        "shapes/square": ((20, 20, 99, 99), good),
    }
    for name, (box, svg) in boxes.items():
        picture = Image.new("RGBA", (200, 200), (0, 0, 0, 0))
        ImageDraw.Draw(picture).rectangle(box, fill="green")
        for suffix in ("png", "svg"):
            (tmp_path / "in" / suffix / name).parent.mkdir(parents=True, exist_ok=True)
        picture.save(tmp_path / "in" / "png" / f"{name}.png")
        (tmp_path / "in" / "svg" / f"{name}.svg").write_text(svg, encoding="utf-8")
    return tmp_path / "in"


def test_small_build(tiny: Path, tmp_path: Path) -> None:
    counts = build(tiny, tmp_path / "a")
    assert counts["pictures in the package"] == 4
    rows = {row["source"]: row for row in read_rows(tmp_path / "a")}
    assert rows.keys() == {
        f"{n}.png" for n in ("animals/frog_ann_autho_01", "animals/brown_dog_ann_autho_01", "food/cake")
    }
    frog = rows["animals/frog_ann_autho_01.png"]
    assert frog["captions"] == ["Green Frog", "frog, green", "A frog on a leaf."]
    assert frog["author"] == "Ann Author"
    assert rows["animals/brown_dog_ann_autho_01.png"]["title"] == "Brown Dog"
    assert rows["food/cake.png"]["captions"] == ["Cake", "A cake with three candles"]
    with Image.open(tmp_path / "a" / frog["image"]) as image:
        assert image.size == (128, 128)
        assert min(image.convert("RGB").getpixel((1, 1))) > 240  # transparent became white


def test_build_gives_the_same_bytes_twice(tiny: Path, tmp_path: Path) -> None:
    for out in ("a", "b", "b"):  # the second time over an earlier result
        build(tiny, tmp_path / out)
    found = [{p.relative_to(tmp_path / o): p.read_bytes() for p in (tmp_path / o).rglob("*.*")} for o in "ab"]
    assert found[0] == found[1] != {}


def test_build_spares_a_folder_that_it_did_not_make(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "mine" / "images").mkdir(parents=True)
    with pytest.raises(UserError, match="would be replaced"):
        build(tiny, tmp_path / "mine")
    with pytest.raises(UserError, match="no folder png"):
        build(tmp_path / "mine", tmp_path / "out")
