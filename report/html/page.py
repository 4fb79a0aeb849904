"""A page of tables, charts, pictures and queries as one HTML file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

HERE = Path(__file__).parent


class Table(NamedTuple):
    """A table that a reader sorts and filters: titles, and rows of cells, a number or a text each."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]


class Chart(NamedTuple):
    """A specification of Vega-Lite."""

    spec: dict[str, Any]


class Picture(NamedTuple):
    """An image as a data address, and what it is of."""

    source: str
    about: str


class Queries(NamedTuple):
    """Ranks of two rows that a reader chooses, query by query, with what the queries are.

    ``items``: of each direction what the queries are, each a ``row`` among them with ``text``, ``image`` or ``sound``,
    and the ``partners`` that are right. ``ranks``: of each row, of each direction, the rank of each of these.
    """

    ranks: dict[str, dict[str, list[int]]]
    items: dict[str, list[dict[str, Any]]]


class Fold(NamedTuple):
    """A text that is shown when its title is opened."""

    title: str
    text: str


class Section(NamedTuple):
    """A title, what is under it, and the words before it; a text among the parts is shown as it is."""

    title: str
    parts: Sequence[Table | Chart | Picture | Queries | Fold | str]
    words: str = ""


def page(title: str, sections: Sequence[Section], library: str) -> str:
    """The page; ``library`` is the script that draws charts: vega, vega-lite and vega-embed in one.

    Example:
        >>> text = page("A & B", [Section("one", [Table(["row"], [["<b>"]])])], "")
        >>> "<title>A &amp; B</title>" in text, "<td>&lt;b&gt;</td>" in text
        (True, True)
    """
    charts: list[Any] = []
    queries: list[Any] = []
    media: dict[str, int] = {}
    shown = [
        {
            "title": each.title,
            "words": each.words,
            "parts": [_part(part, charts, queries, media) for part in each.parts],
        }
        for each in sections
    ]
    environment = Environment(loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined)
    style, script = (Markup((HERE / name).read_text(encoding="utf-8")) for name in ("page.css", "page.js"))
    return environment.get_template("page.html.jinja").render(
        title=title, sections=shown, style=style, script=script, charts=_json(charts),
        queries=_json({"media": list(media), "queries": queries}),
        library=Markup(library.replace("</script", "<\\/script")),
    )  # fmt: skip


def _part(
    part: Table | Chart | Picture | Queries | Fold | str, charts: list[Any], queries: list[Any], media: dict[str, int]
) -> dict[str, Any]:
    if isinstance(part, Chart):
        charts.append(part.spec)
        return {"kind": "chart", "number": len(charts) - 1}
    if isinstance(part, Queries):
        queries.append({"ranks": part.ranks, "items": _numbered(part.items, media)})
        return {"kind": "queries", "number": len(queries) - 1}
    if isinstance(part, str):
        return {"kind": "text", "text": part}
    return {"kind": type(part).__name__.lower(), **part._asdict()}


def _numbered(node: Any, media: dict[str, int]) -> Any:
    """The same with pictures and sounds by their place among ``media``: an item stands beside many queries."""
    if isinstance(node, dict):
        return {
            key: media.setdefault(value, len(media)) if key in ("image", "sound") else _numbered(value, media)
            for key, value in node.items()
        }
    return [_numbered(each, media) for each in node] if isinstance(node, list) else node


def _json(value: Any) -> Markup:
    """JSON that no text within it can end: it stands in a script."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))
