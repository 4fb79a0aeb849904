"""The figures of a contest as specifications of Vega-Lite: a page shows them, and they are written as PNG and PDF."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

import altair as alt

from comparison.curves import Reading
from comparison.pairs import PAIRS, Curve
from comparison.results import Standing

Spec = dict[str, Any]
Rows = list[dict[str, Any]]

WIDTH = 640
RECALL = "mean recall (%)"
HUBNESS = "test/hubness/"


def recall_bars(table: Sequence[Standing]) -> Spec:
    """Means with their intervals, the best above."""
    values = [
        {"row": row.row, "mean": row.mean, "low": row.low, "high": row.high, "letters": row.letters}
        for row in table
        if row.mean is not None
    ]
    order = [row.row for row in table]
    base = alt.Chart(_data(values)).encode(y=alt.Y("row:N", sort=order, title=None))
    tips = ["row:N", *(alt.Tooltip(f"{name}:Q", format=".2f") for name in ("mean", "low", "high")), "letters:N"]
    bars = base.mark_bar(opacity=0.75).encode(x=alt.X("mean:Q", title=RECALL), tooltip=tips)
    lines = base.mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q", tooltip=tips)
    text = base.mark_text(align="left", dx=6).encode(x="high:Q", text="letters:N")
    return _spec(bars + lines + text)


def front(table: Sequence[Standing]) -> Spec:
    """Quality against the time of a fit; the line joins the rows that none beats in both."""
    values: Rows = [
        {"row": row.row, "mean": row.mean, "low": row.low, "high": row.high,
         "seconds": max(statistics.median(row.values("time/fit_seconds")), 1e-3)}
        for row in table if row.mean is not None
    ]  # fmt: skip
    best, line = float("-inf"), []
    for each in sorted(values, key=lambda each: (each["seconds"], -each["mean"])):
        if each["mean"] > best:
            best = each["mean"]
            line.append(each)
    base = alt.Chart(_data(values)).encode(
        x=alt.X("seconds:Q", scale=alt.Scale(type="log"), title="time of a fit (s), median"),
        tooltip=["row:N", alt.Tooltip("seconds:Q", format=".2f"), alt.Tooltip("mean:Q", format=".2f")],
    )
    quality = alt.Y("mean:Q", title=RECALL, scale=alt.Scale(zero=False))
    steps = alt.Chart(_data(line)).mark_line(interpolate="step-after", opacity=0.5).encode(x="seconds:Q", y="mean:Q")
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        y=quality, color=_colour([each["row"] for each in values])
    )
    ranges = base.mark_rule(opacity=0.4).encode(y=alt.Y("low:Q", scale=alt.Scale(zero=False)), y2="high:Q")
    return _spec(ranges + steps + points, interactive=True)


def hubness(table: Sequence[Standing]) -> Spec | None:
    """How unevenly items are near to the queries of each direction."""
    values = [
        {"row": row.row, "direction": name.removeprefix(HUBNESS).replace("_", " "), "hubness": value}
        for row in table
        for name, value in row.metrics.items()
        if name.startswith(HUBNESS)
    ]
    if not values:
        return None
    chart = alt.Chart(_data(values)).mark_bar(opacity=0.75).encode(
        x=alt.X("hubness:Q", title="skewness of the counts"),
        y=alt.Y("row:N", sort=[row.row for row in table], title=None),
        yOffset="direction:N",
        color=alt.Color("direction:N", title=None),
        tooltip=["row:N", "direction:N", alt.Tooltip("hubness:Q", format=".2f")],
    )  # fmt: skip
    return _spec(chart)


def _colour(rows: Sequence[str]) -> alt.Color:
    """A row's colour is that of its place in the table, in every chart."""
    return alt.Color("row:N", title=None, scale=alt.Scale(domain=list(dict.fromkeys(rows))))


def over_data(curve: Curve) -> Spec:
    """Quality against the number of training pairs, or against a share."""
    pairs = curve.title == PAIRS
    base = alt.Chart(_data([each._asdict() for each in curve.points])).encode(
        x=alt.X("at:Q", scale=alt.Scale(type="log") if pairs else alt.Undefined, title=curve.title),
        color=_colour([each.row for each in curve.points]),
        tooltip=["row:N", "data:N", alt.Tooltip("at:Q", format=",.0f" if pairs else ".2f", title=curve.title),
                 alt.Tooltip("mean:Q", format=".2f")],
    )  # fmt: skip
    lines = base.mark_line(point=True).encode(y=alt.Y("mean:Q", title=RECALL))
    return _spec(lines + base.mark_rule(opacity=0.5).encode(y="low:Q", y2="high:Q"), interactive=True)


def over_passes(readings: Sequence[Reading], against: str) -> Spec | None:
    """Recall on validation after each pass or epoch, against its ``number`` or the ``seconds`` of the fit."""
    values = _curves(readings, "recall", against)
    if not values:
        return None
    chart = alt.Chart(_data(values)).mark_line(point=alt.OverlayMarkDef(size=18)).encode(
        x=_passes(against),
        y=alt.Y("recall:Q", title="mean recall on validation (%)", scale=alt.Scale(zero=False)),
        color=_colour([each.row for each in readings]),
        tooltip=["row:N", f"{against}:Q", alt.Tooltip("recall:Q", format=".2f")],
    )  # fmt: skip
    return _spec(chart, interactive=True)


def objectives(readings: Sequence[Reading], against: str) -> Spec | None:
    """The objective of each row against the ``number`` of the pass or the ``seconds``: a panel each, with its scale."""
    values = _curves(readings, "objective", against)
    if not values:
        return None
    chart = alt.Chart(_data(values)).mark_line(point=alt.OverlayMarkDef(size=18)).encode(
        x=_passes(against),
        y=alt.Y("objective:Q", title=None, scale=alt.Scale(zero=False)),
        tooltip=["row:N", f"{against}:Q", alt.Tooltip("objective:Q", format=".4g")],
    )  # fmt: skip
    header = alt.Header(title=None, labelOrient="top", labelAnchor="start", labelAngle=0, labelPadding=2)
    panels = chart.properties(width=WIDTH, height=90).facet(row=alt.Row("row:N", header=header), spacing=6)
    spec: Spec = panels.resolve_scale(y="independent").to_dict()
    return spec


def _curves(readings: Sequence[Reading], of: str, against: str) -> Rows:
    """The readings of what is told, where it is told of two passes of a row."""
    told = [each._asdict() for each in readings]
    told = [each for each in told if each[of] is not None and each[against] is not None]
    counts = Counter(each["row"] for each in told)
    return told if max(counts.values(), default=0) > 1 else []


def _passes(against: str) -> alt.X:
    title = {"number": "pass, or epoch", "seconds": "seconds of the fit"}[against]
    scale = alt.Scale(type="symlog", constant=0.1) if against == "seconds" else alt.Undefined
    return alt.X(f"{against}:Q", title=title, scale=scale)


def wins(shares: Rows, order: Sequence[str]) -> Spec:
    """Of each pair of rows the share of queries that the one ranks better than the other."""
    base = alt.Chart(_data([each | {"told": f"{100 * each['better']:.0f}"} for each in shares])).encode(
        x=alt.X("other:N", sort=list(order), title="than", axis=alt.Axis(labelAngle=-40)),
        y=alt.Y("one:N", sort=list(order), title=None),
        tooltip=[
            "one:N",
            "other:N",
            *(alt.Tooltip(f"{name}:Q", format=".1%") for name in ("better", "equal", "worse")),
        ],
    )
    colour = alt.Color(
        "margin:Q", title="better less worse", scale=alt.Scale(scheme="purplegreen", domain=[-0.5, 0.5], clamp=True)
    )
    return _spec(base.mark_rect().encode(color=colour) + base.mark_text(color="#222").encode(text="told:N"))


def _data(values: Rows) -> alt.Data:
    return alt.Data(values=values)  # type: ignore[no-untyped-call]


def _spec(chart: Any, interactive: bool = False) -> Spec:
    made = chart.properties(width=WIDTH)
    spec: Spec = (made.interactive() if interactive else made).to_dict()
    return spec
