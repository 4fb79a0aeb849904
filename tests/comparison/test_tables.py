"""Tables as CSV, Markdown and LaTeX: every row is there, and what a name holds breaks none."""

import csv
import io
from pathlib import Path

from rich.console import Console

from comparison.notes import on_energy, on_scoring
from comparison.results import Standing, standings
from comparison.tables import as_csv, as_latex, as_markdown, cells, screen_table
from tests.comparison.made import drawn_ranks, finished, result


def tables(tmp_path: Path) -> dict[str, list[Standing]]:
    jobs = [
        finished(tmp_path, row, seed, drawn_ranks(200, 2, chance, 10 * seed + number), 2)
        for number, (row, chance) in enumerate({"a & b_c": 0.6, "x | 50 %": 0.2}.items())
        for seed in range(3)
    ]
    return standings([result(job) for job in jobs], {("made", "gone"): ["declined: needs one $ more"]})


def test_csv_holds_every_metric_as_it_is(tmp_path: Path) -> None:
    made = tables(tmp_path)
    first, second, gone = csv.DictReader(io.StringIO(as_csv(made)))
    assert (first["row"], second["row"], gone["row"]) == ("a & b_c", "x | 50 %", "gone")
    assert float(first["mean_recall"]) == made["made"][0].mean
    assert float(first["test/image_to_text/R@5"]) == made["made"][0].metrics["test/image_to_text/R@5"]
    assert (gone["mean_recall"], gone["told"]) == ("", "declined: needs one $ more")
    assert (first["p"], second["letters"]) == ("", "b")


def test_markdown_has_as_many_cells_in_each_line(tmp_path: Path) -> None:
    lines = as_markdown(tables(tmp_path)).strip().splitlines()
    counts = {line.replace("\\|", "").count("|") for line in lines}
    assert len(counts) == 1
    assert lines[0].startswith("| made | mean recall [95 %] |")
    assert "x \\| 50 %" in lines[3]
    assert "declined: needs one $ more" in lines[4]


def test_latex_escapes_what_it_must(tmp_path: Path) -> None:
    text = as_latex(tables(tmp_path))
    assert r"a \& b\_c" in text
    assert r"needs one \$ more" in text
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1
    places = text.split(r"\begin{tabular}{")[1].split("}")[0]
    assert all(
        line.replace(r"\&", "").count("&") == len(places) - 1 for line in text.splitlines() if line.endswith(r"\\")
    )


def test_columns_without_a_text_are_left_out_and_the_screen_has_room(tmp_path: Path) -> None:
    titles, *rows = cells(tables(tmp_path)["made"])
    assert "linear probe" not in titles
    assert all(len(row) == len(titles) for row in rows)
    console = Console(width=160, record=True, file=io.StringIO())
    console.print(screen_table("made", tables(tmp_path / "again")["made"]))
    shown = console.export_text()
    for text in ("a & b_c", "x | 50 %", "gone", "mean recall"):
        assert text in shown
    assert "model MB" not in shown


def test_energy_is_there_where_a_run_tells_it_with_what_it_is_of(tmp_path: Path) -> None:
    ranks = drawn_ranks(40, 1, 0.5, 0)
    told = finished(tmp_path, "a", 0, ranks, 1, **{"energy/fit_cpu_joules": 123.4})
    made = standings([result(told), result(finished(tmp_path, "b", 0, ranks, 1))], {})
    titles, *rows = cells(made["made"])
    assert "GPU J" not in titles
    assert [row[titles.index("processors J")] for row in rows] == ["123", ""]
    assert len(on_energy(made)) == 1
    assert on_energy(tables(tmp_path / "none")) == []


def test_other_rules_of_scoring_stand_beside_and_what_ranks_is_told(tmp_path: Path) -> None:
    ranks = drawn_ranks(40, 1, 0.5, 0)
    plain = finished(tmp_path, "a", 0, ranks, 1)
    mean = standings([result(plain)], {})["made"][0].mean
    told = finished(
        tmp_path, "b", 0, ranks, 1,
        **{
            "test/cosine/mean_recall": 12.345, "test/memory/csls/mean_recall": mean,
            "protocol/scoring": "csls, inductive: a bank of training queries", "protocol/memory": "training items",
        },
    )  # fmt: skip
    made = standings([result(plain), result(told)], {("made", "gone"): ["declined"]})
    titles, *rows = cells(made["made"])
    assert [row[titles.index("cosine")] for row in rows if row[0] == "b"] == ["12.35"]
    assert "memory, csls" not in titles  # the same number for every row
    assert on_scoring(made) == [
        "Ranked by csls, inductive: a bank of training queries, with a memory of training items: b on made."
    ]
