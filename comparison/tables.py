"""The tables of a contest: on the screen, as CSV, Markdown and LaTeX."""

import csv
import io
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.table import Table

from comparison.results import SCORE, Standing

Cells = list[list[str]]
TEXTS = ("row", "tuned", "told", "")
"""Titles of the columns that hold no numbers."""


class Column(NamedTuple):
    """A column: its title, what a row has there as text, and whether it is a number."""

    title: str
    cell: Callable[[Standing], str]
    number: bool = True


def columns(table: Sequence[Standing]) -> list[Column]:
    """The columns of a table; those of a metric are there where a row has it."""
    shown = [
        Column("row", lambda row: row.row, number=False),
        Column("mean recall [95 %]", _mean),
        Column("", lambda row: row.letters, number=False),
        Column("behind", lambda row: "" if not row.results or row.p is None else f"{row.behind:.2f} ({_p(row.p)})"),
    ]
    shown += [
        Column(f"{way.replace('_', ' ')} R@{k}", _metric(f"test/{way}/R@{k}", 1))
        for way in _ways(table)
        for k in (1, 5, 10)
    ]
    shown += [Column(_rule_title(name), _metric(name, 2)) for name in _rules(table)]
    for name, title in (("test/linear_probe/accuracy", "linear probe"), ("test/class_accuracy", "class accuracy")):
        if any(name in row.metrics for row in table):
            shown.append(Column(title, _metric(name, 1)))
    return [
        *shown,
        Column("fit s", _fit),
        Column(
            "features s", lambda row: f"{max(row.values('time/feature_seconds'), default=0):.1f}" if row.results else ""
        ),
        Column("processors J", _metric("energy/fit_cpu_joules", 0)),
        Column("GPU J", _metric("energy/fit_gpu_joules", 0)),
        Column("peak MB", _metric("memory/peak_rss_mb", 0)),
        Column(
            "model MB", lambda row: f"{row.metrics['model/bytes'] / 1e6:.2f}" if "model/bytes" in row.metrics else ""
        ),
        Column("seeds", lambda row: str(len(row.results)) if row.results else ""),
        Column("tuned", lambda row: row.setting, number=False),
        Column("told", lambda row: "; ".join(row.reasons), number=False),
    ]


def _mean(row: Standing) -> str:
    if row.mean is None:
        return ""
    return f"{row.mean:.2f}" + (f" [{row.low:.2f}, {row.high:.2f}]" if row.low is not None else "")


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _fit(row: Standing) -> str:
    """The median of the seeds, and from where to where they go."""
    seconds = row.values("time/fit_seconds")
    if not seconds:
        return ""
    middle = statistics.median(seconds)
    return f"{middle:.2f} ({min(seconds):.2f} to {max(seconds):.2f})" if len(seconds) > 1 else f"{middle:.2f}"


def _metric(name: str, digits: int) -> Callable[[Standing], str]:
    return lambda row: f"{row.metrics[name]:.{digits}f}" if name in row.metrics else ""


def _rules(table: Sequence[Standing]) -> list[str]:
    """The mean recalls of rules of scoring beside that of the table, where any of them is another number."""
    names = dict.fromkeys(name for row in table for name in row.metrics)
    beside = [name for name in names if name.startswith("test/") and name.endswith("/mean_recall")]
    of_rows = [(row.metrics, row.mean) for row in table if row.mean is not None]
    return [name for name in beside if any(abs(own.get(name, mean) - mean) > 1e-9 for own, mean in of_rows)]


def _rule_title(name: str) -> str:
    """``test/memory/csls/mean_recall`` as "memory, csls"."""
    return ", ".join(name.split("/")[1:-1])


def _ways(table: Sequence[Standing]) -> list[str]:
    """The directions, from the names of the metrics."""
    names = dict.fromkeys(name for row in table for name in row.metrics)
    return [n.split("/")[1] for n in names if n.startswith("test/") and n.endswith("/R@1") and n.count("/") == 2]


def cells(table: Sequence[Standing]) -> Cells:
    """The titles, then a list of texts for each row; columns without any text are left out."""
    of = columns(table)
    rows = [[column.cell(row) for column in of] for row in table]
    kept = [i for i in range(len(of)) if any(row[i] for row in rows)]
    return [[of[i].title for i in kept], *([row[i] for i in kept] for row in rows)]


BESIDE = (
    "R@5",
    "R@10",
    "linear probe",
    "class accuracy",
    "processors J",
    "GPU J",
    "peak MB",
    "features s",
    "model MB",
    "tuned",
    "told",
)
"""Columns that files have, and that the screen has no room for."""


def screen_table(title: str, table: Sequence[Standing]) -> Table:
    """For the screen: the columns that most look at."""
    titles, *rows = cells(table)
    shown = [i for i, each in enumerate(titles) if not each.endswith(BESIDE)]
    made = Table(title=title, title_justify="left")
    for i in shown:
        text = titles[i] in TEXTS
        made.add_column(
            titles[i].replace(" R@", "\nR@"), justify="left" if text else "right", no_wrap=titles[i] == "row"
        )
    for row in rows:
        made.add_row(*(row[i] for i in shown))
    return made


def as_csv(tables: dict[str, list[Standing]]) -> str:
    """Numbers as they are, not rounded: every metric is a column."""
    names = dict.fromkeys(name for table in tables.values() for row in table for name in row.metrics)
    names.pop(SCORE, None)
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        ["data", "row", "seeds", "mean_recall", "low", "high", "behind", "p", "letters", *names, "tuned", "told"]
    )
    for data, table in tables.items():
        for row in table:
            metrics = row.metrics
            writer.writerow(
                [data, row.row, len(row.results), row.mean, row.low, row.high, row.behind, row.p, row.letters,
                 *(metrics.get(name) for name in names), row.setting, "; ".join(row.reasons)]
            )  # fmt: skip
    return text.getvalue()


def as_markdown(tables: dict[str, list[Standing]]) -> str:
    """A table of Markdown for each data set."""
    parts = []
    for data, table in tables.items():
        titles, *rows = cells(table)
        rule = ["---" if title in TEXTS else "---:" for title in titles]
        lines = [[data if title == "row" else title for title in titles], rule, *rows]
        parts.append("\n".join(f"| {' | '.join(_escaped(each) for each in line)} |" for line in lines))
    return "\n\n".join(parts) + "\n"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


TEX = {"&": r"\&", "%": r"\%", "_": r"\_", "#": r"\#", "$": r"\$", "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}",
       "^": r"\textasciicircum{}", "\\": r"\textbackslash{}", "<": r"\textless{}", ">": r"\textgreater{}"}  # fmt: skip


def as_latex(tables: dict[str, list[Standing]]) -> str:
    """A ``tabular`` with the rules of booktabs for each data set."""
    parts = []
    for data, table in tables.items():
        titles, *rows = cells(table)
        places = "".join("l" if title in TEXTS else "r" for title in titles)
        head = [data if title == "row" else title for title in titles]
        lines = [" & ".join("".join(TEX.get(c, c) for c in each) for each in line) + r" \\" for line in (head, *rows)]
        body = [
            rf"\begin{{tabular}}{{{places}}}",
            r"\toprule",
            lines[0],
            r"\midrule",
            *lines[1:],
            r"\bottomrule",
            r"\end{tabular}",
        ]
        parts.append("\n".join(body))
    return "% \\usepackage{booktabs}\n" + "\n\n".join(parts) + "\n"
