"""Titles and captions of clip art: cleaning, and the word lists that decide what enters the bundled set."""

from __future__ import annotations

import html
import re
import unicodedata

from datamodules.clipart_data.titles import normalise_title
from tools.clipart.translations import ENGLISH


def _words(text: str) -> frozenset[str]:
    """Entries of a comma-separated list."""
    return frozenset(" ".join(text.split()).split(", "))


# Folders of icons, flags, map and road symbols, cards, plain shapes: sets without captions of their own.
LEFT_OUT = re.compile(
    r"(shapes|buttons|special|unsorted|logos|computer/(icons|buttons|connectors|diagrams|folders)"
    r"|signs_and_symbols/(flags|map_symbols|led|disability)|recreation/games/cards"
    r"|transportation/(aiga-symbols|roadsigns)|tools/weapons|people/clothing/pantyhose)/"
)
# Small folders join the one they are closest to; large ones give up a part that makes a class of its own.
MERGED = {
    "geography/astronomy/": "science",
    "recreation/music/": "music",
    "people/clothing/": "clothing",
    "containers/": "office",
    "computer/": "electronics",
}
SET_TITLE = re.compile(
    r"^clip ?art by|^r\d+ |untitled|road signs$|map symbols|\b(icons?|theme|iconset)$"
    r"|^(various )?clip ?arts?$|^homes clipart|menu clip art|^advertising$|https?:|@"
    r"|^(sin t[ií]tulo|drawing|image|picture|path\d*|layer \d+|new document)$",
    re.IGNORECASE,
)
# Author tags and cut leftovers at the end of file names.
NAME_TAILS = _words(
    """
    md, ganson, nicu, bucul, aj, zazou, bwh, aa, ab, alt, jarno, ge, svg, openclipart
    """
)

JUNK_KEYWORDS = _words(
    """
    hash, clip art, clipart, clip-art, clip arts, image, images, media, png, svg, public domain,
    publicdomain, unsorted, openclipart, open clip art, signs and symbols, symbols and signs, misc,
    miscellaneous, vector, various, icon, icons, externalsource, inkscape, sodipodi, drawing,
    appicon, contour, none, other, new, color, colour, etiquette, theme, architetto francesco
    rollandin, ganson, nicu buculei
    """
)
# Names of whole folders: true, but they do not tell one picture from its neighbours.
VAGUE_KEYWORDS = _words(
    """
    animal, animals, food, people, person, symbol, symbols, sign, signs, office, plant, plants,
    tool, tools, mammal, bird, insect, fish, fruit, dessert, desserts, beverage, menu, computer,
    hardware, recreation, sports, sport, music, building, geography, education, transport,
    transportation, vehicle, clothing, hat, holiday, entertainment, decoration, shape, smiley,
    festive, work, container, electronics, map, party, toy, vegetable, protein, carbohydrate, road
    sign, home, house, weather
    """
)
KEYWORD_FIXES = {
    "airtravel": "air travel",
    "beatle": "beetle",
    "bodypart": "body part",
    "icecream": "ice cream",
    "imformation": "information",
    "mapsym": "map",
    "latinamerica": "latin america",
    "musicstuff": "music",
    "musicsym": "music",
    "networksym": "network",
    "northamerica": "north america",
    "noze": "nose",
    "religholiday": "religious holiday",
    "roadsign": "road sign",
    "roadtravel": "road travel",
    "rubish": "rubbish",
    "stickmen": "stick figure",
    "toothedwhale": "toothed whale",
    "usholiday": "holiday",
    "vegitable": "vegetable",
    "weathersym": "weather",
}
# Talk of files, tools or the archive itself, addresses, and sentences that a whole set shares.
BOILERPLATE = re.compile(
    r"clip ?art|https?:|www\.|@|hash\(|inkscape|sodipodi|illustrator|\bsvg\b|vectori|submission|derivat|gpl\b"
    r"|uk roadsigns|thanks|nice detailed|this is a (normal|standard|simple image)|\bupload|\bfile\b|copyright"
    r"|\bI (made|drew|created|did)\b|data from|easily changed|public domain|tutor|gradien|derived from"
    r"|based on|xml code|reuse|enjoy it|daughter|amuse|ideal for|traced|rollandin|is come back",
    re.IGNORECASE,
)
FOREIGN = re.compile(
    r"\b(uma?|una|uno|della?|delle|degli|dei|dal|al|alla|il|gli|di|da|del|con|per|para|les|des|du|pour|avec|sur|le"
    r"|la|et|une|que|los|las|el|en|och|und|der|das|mit|eine?|sortie|interdite?|obligatoire|risque|sauvetage|d'un|neko"
    r"|glace|gateau|gauffre|ours|flamand|porcinet|punaisa|religieuse|olifant|bitte|gr[uü]ne|kubek|stara|arbre"
    r"|olivier|pansement|croche|couronne|bobine|spaclu|calebasse|numero|canarias|municipios|sapin|sole|reunion"
    r"|derbouk|bateau|avion|voiture|maison|fleur|chapeau|hund|katze|haus|animali|felini|pesce|architettura|architectural|commercial|cochon|farfalla|papillon|umanoseduto|humain|utensile|pulsant\w*|odkurzacz|animale|karetka|strazak|mecanica|engrenagem|cuptazzacolazione|gens|forbici|casa|perro|gato|flor|sal|piche|noel)\b",
    re.IGNORECASE,
)
# These contributors titled their many pictures in Italian, French, Portuguese or Spanish.
FOREIGN_AUTHOR = re.compile(
    r"rollandin|architet|guillou|balin\b|araujo|araújo|tanguy|aiello|marrone|boitel|mauro olivo|renardjb"
    r"|rinc[oó]n maza|sergio luiz",
    re.IGNORECASE,
)
PART_OF_SET = re.compile(
    r"lemon_theme|lemon svg|iconset|filesystem|\bicons\b|\btheme\b|map symbols|road ?signs?\b|australian maps"
    r"|\bflags\b|\bflag (of|\()|font samples|mouse pointer|\bcursor",
    re.IGNORECASE,
)
OFFENSIVE = re.compile(
    r"\b(sex|sexy|nude|naked|nazi|swastika|sunwheel|schwarze|hitler|penis|breasts?|porn|bikini|lingerie|pantyhose"
    r"|guns?|pistol|rifle|revolver|bullets?|bullethole|weapons?|ammo|bomb|grenade|battle tank|abrams|missile"
    r"|blood\w*|corpse|murder|suicide|dead|kill\w*|drugs?|joint|marijuana|cannabis|crucifi\w+|hanged|gallows|guillotine|kkk"
    r"|racis\w*|whore|pimp|chav|piss|shit|fuck|middle finger|erotic|stripper|terroris\w*|war|mermaid)\b",
    re.IGNORECASE,
)
# Seen on contact sheets: broken renderings, bare bodies, traced photographs of private people, addresses.
DROPPED = re.compile(
    r"people/(female_silhouette|male_silhouette|enthusiast|silvia|saxowoman|self_portrait|my_lovely_baby|a_youngster"
    r"|a_youngester|grandpa_|samoa)|computer/(linux_powered|pong|navigation)|.*logaritmic|.*milimetered|.*basque|.*for_sale"
    r"|tools/bucket_michael|buildings/.*houses_|computer/zinf|.*mouse[-_ ]pointer"
    r"|people/silhouette_female_2|people/(.*/)?(man_crystal|bad_guy|a_happy_boy|a_man_singing)|.*a_boy_plays_soccer"
)


def category(source: str) -> str:
    """Class label of a picture: its top folder, or the class that its folder was merged with."""
    return next((label for folder, label in MERGED.items() if source.startswith(folder)), source.split("/")[0])


def foreign(title: str, origin: str) -> bool:
    """Whether a title is probably not in English, from its words and from who drew the picture."""
    return bool(not title.isascii() or FOREIGN.search(title) or FOREIGN_AUTHOR.search(origin))


def in_english(title: str) -> str:
    """The translation of a foreign title, or '' if there is none; line art stays marked as such."""
    key = normalise_title(
        re.sub(r"(architetto )?(francesco )?rollandin.*|architetto francesco.*", "", title, flags=re.I)
    )
    line_art = " (B and W)" if re.search(r"\bbw\b", title, re.IGNORECASE) else ""
    key = key.replace(" ", "")
    return f"{ENGLISH[key]}{line_art}" if key in ENGLISH else ""


def clean_text(raw: str) -> str:
    """Plain text on one line: no tags, entities or mojibake ('' where the text cannot be repaired)."""
    text = html.unescape(html.unescape(raw))  # many titles were escaped twice
    if re.search("[\u00c2\u00c3]", text):  # UTF-8 once read as Latin-1
        try:
            text = text.encode("latin-1").decode("utf-8")
        except UnicodeError:
            return ""
    if "\ufffd" in text:
        return ""
    text = unicodedata.normalize("NFC", re.sub(r"<[^>]*>", " ", text))
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def clean_title(raw: str) -> str:
    """A title in words, or '' for set names, codes, file names and the like."""
    text = re.sub(
        r"\.(svg|png)\b|\bopenclipart\b| clipart style$",
        "",
        clean_text(raw).replace("_", " "),
        flags=re.IGNORECASE,
    )
    text = re.sub(r"^0\d |[\s#(]*\d+\)?$", "", text.strip())  # 'Lamp 02' and 'Lamp02' to 'Lamp'
    text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text)  # 'LeafRake' to 'Leaf Rake'
    text = " ".join(text.split()).strip(" -.,;:")
    if SET_TITLE.search(text) or not re.search(r"[^\W\d_]{3}", text) or len(text) > 80:
        return ""
    return text if re.search("[aeiouy]", text, re.IGNORECASE) else ""


def title_from_name(source: str, author: str) -> str:
    """A title from a file name ('note_with_pin_nicu_bucul_03' to 'note with pin'), '' if it has no words."""
    name = re.sub(r"\d+", " ", re.sub(r"[-_.+]v\d[\d.]*", " ", source.rsplit("/", 1)[-1]))
    names = [n for n in re.split(r"\W+", author.casefold()) if n]
    words = [w for w in re.split(r"[\W_]+", name) if w and w.casefold() not in {"svg", "png"}]
    while words and (  # the package cuts names to 24 characters, so the author's name may be cut too
        len(words[-1]) == 1
        or words[-1].casefold() in NAME_TAILS
        or any(n.startswith(words[-1].casefold()) for n in names)
    ):
        words.pop()
    return clean_title(" ".join(words))


def keyword_phrase(keywords: list[str], title: str = "", author: str = "") -> str:
    """Keywords as 'frog, green, animal'; the title leads where every keyword is as vague as 'food'."""
    seen: dict[str, None] = {}
    for raw in keywords:
        word = clean_text(raw).replace("_", " ").casefold().strip(" -.,;:")
        word = KEYWORD_FIXES.get(word, word)
        junk = word in JUNK_KEYWORDS or re.match(r"(hash\()?0x|.*(@|http)", word) or FOREIGN.search(word)
        if not junk and re.search(r"^(?=.{2,40}$).*[^\W\d_]{2}", word) and word not in author.casefold():
            seen.setdefault(word)
    if title and seen and (len(seen) == 1 or all(w in VAGUE_KEYWORDS for w in seen)):
        seen = dict.fromkeys([title.casefold(), *seen])
    return cut(", ".join(seen)) if len(seen) > 1 else ""


def clean_description(raw: str, title: str) -> str:
    """A description worth a caption, or '': no addresses, boilerplate, foreign text or echo of the title."""
    text = clean_text(raw)
    if BOILERPLATE.search(text) or FOREIGN.search(text) or len(text.split()) < 3:
        return ""
    core = re.sub(r"^(an?|the|picture of) ", "", text, flags=re.IGNORECASE)
    return "" if normalise_title(core) == normalise_title(title) else cut(text)


def cut(text: str, limit: int = 300) -> str:
    """At most ``limit`` characters, ended at a sentence if one ends in the second half, else at a word."""
    if len(text) <= limit:
        return text
    head = text[: limit + 1]
    stop = max(head.rfind(mark) for mark in (". ", "! ", "? "))
    return head[: stop + 1] if stop > limit // 2 else head[: max(head.rfind(" "), 1)].rstrip(" ,;:-")
