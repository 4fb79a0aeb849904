"""The domain experiment, its data and the plans of transport, on tiny data."""

import csv
from pathlib import Path

import pytest
import torch
from matplotlib.image import imread
from PIL import Image
from safetensors.torch import save_file

from benchmarks import plans
from benchmarks.domains import __main__ as domains
from benchmarks.domains import table
from benchmarks.domains.features import DomainFactors, synthetic_file
from benchmarks.domains.shown import DOMAIN, RAW, figure
from benchmarks.domains.shown import table as markdown
from benchmarks.runs import composed, run
from datamodules.formats.table_file import read_table
from ground.errors import UserError
from tests.benchmarks.records import record_of


def test_one_command_prints_the_table_and_draws_the_figure(capsys: pytest.CaptureFixture[str]) -> None:
    domains.main(["--quick", "--seeds", "2", "--differences", "0.1", "-0.1"])
    shown = capsys.readouterr().out
    assert shown.startswith(
        "| a - b | domain accuracy | class accuracy | mean recall |\n| --- | --- | --- | --- |\n| -0.1 | "
    )
    assert imread("docs/figures/domains_synthetic.png").std() > 0.01
    rates = record_of("domains")["rates"]
    assert [row["a - b"] for row in rates] == [-0.1, 0.1]
    assert [RAW in seed for seed in rates[0]["seeds"] + rates[1]["seeds"]] == [True, True, False, False]
    assert rates[0]["seeds"][0] != rates[0]["seeds"][1]  # each seed has data of its own
    assert rates[0]["seeds"][0][DOMAIN] != rates[1]["seeds"][0][DOMAIN]


def test_data_of_one_domain_are_told(tmp_path: Path) -> None:
    tensors = DomainFactors(n=60).tensors()
    for name, changed in (("none", {}), ("one", {"domain": torch.zeros(60, dtype=torch.int64)})):
        kept = {key: value for key, value in tensors.items() if key != "domain"} | changed
        save_file(kept, tmp_path / f"{name}.safetensors")
    of = ["--quick", "--seeds", "1", "--differences", "0"]
    with pytest.raises(UserError, match="reads the domain of each x, and the data has none"):
        domains.main([*of, "--data", str(tmp_path / "none.safetensors")])
    with pytest.raises(UserError, match="one: the training or the test split has fewer than two domains"):
        domains.main([*of, "--data", str(tmp_path / "one.safetensors")])


def test_classes_and_domains_of_the_synthetic_features_are_independent_directions() -> None:
    factors = DomainFactors(n=6000, noise=0.0, strength=2.0)
    tensors = factors.tensors()
    assert tensors["split"].bincount().tolist() == [3600, 900, 1500]
    for side in "xy":
        assert torch.linalg.matrix_rank(tensors[side], rtol=1e-4) == factors.latent + factors.domains
        means = torch.stack([tensors[side][tensors["domain"] == d].mean(0) for d in range(3)])
        # orthonormal directions: two domains are sqrt(2) strengths apart, and 0.1 by chance in each of 12 others
        assert torch.pdist(means).tolist() == pytest.approx([2 * 2**0.5] * 3, abs=0.15)
    joint = torch.zeros(6, 3).index_put_((tensors["label"], tensors["domain"]), torch.ones(6000), accumulate=True)
    assert (joint / 6000 - 1 / 18).abs().max() < 0.015
    other = DomainFactors(n=6000, noise=0.0, strength=2.0, seed=1).tensors()
    assert not torch.equal(other["x"], tensors["x"])


def test_means_and_intervals_are_shown_as_far_as_they_are_there() -> None:
    rates = {-0.1: [{DOMAIN: 50.0, RAW: 80.0}, {DOMAIN: 52.0}], 0.1: [{DOMAIN: 70.0}, {DOMAIN: 70.0}]}
    assert markdown(rates).splitlines()[2:] == ["| -0.1 | 51.0 ± 12.7 |", "| 0.1 | 70.0 ± 0.0 |"]
    legend = figure(rates, "title").axes[0].get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {DOMAIN, RAW}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Photographs, one of them missing, and icons, one of them twice and one a link."""
    photographs, icons = tmp_path / "flickr8k", tmp_path / "icons"
    (photographs / "Flicker8k_Dataset").mkdir(parents=True)
    lines = [f"{i}.jpg#{k}\tA photo {i}, caption {k} ." for i in range(6) for k in range(2)]
    (photographs / "Flickr8k.token.txt").write_text("\n".join(lines), encoding="utf-8")
    for i in range(5):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(photographs / "Flicker8k_Dataset" / f"{i}.jpg")
    for context, names in (("actions", ("document-open", "go_up", "zoom-in")), ("apps", ("document-open", "mail"))):
        (icons / context).mkdir(parents=True)
        for name in names:
            Image.new("RGBA", (8, 8)).save(icons / context / f"{name}.png")
    (icons / "apps" / "linked.png").symlink_to(icons / "apps" / "mail.png")
    return photographs, icons


def test_a_table_of_three_domains(
    folders: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photographs, icons = folders
    out = tmp_path / "three.csv"
    arguments = ["--photographs", str(photographs), "--symbols", str(icons), "--out", str(out)]
    table.main(arguments)
    assert "4 items of each of clip art, photographs, symbols" in capsys.readouterr().out
    with out.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["domain"] for row in rows] == [
        name for name in ("clip art", "photographs", "symbols") for _ in range(4)
    ]
    assert all(Path(row["image"]).is_file() for row in rows)
    assert {row["text"] for row in rows[8:]} == {"document open", "go up", "mail", "zoom in"}
    assert all(row["text"].endswith("caption 0 .") for row in rows[4:8])
    assert read_table(out, ["image", "domain"], ["image"]).columns["domain"].values == [
        "clip art",
        "photographs",
        "symbols",
    ]
    first = out.read_bytes()
    table.main([*arguments, "--most", "4"])
    assert out.read_bytes() == first
    for wrong, line in (
        (["--photographs", str(tmp_path / "no")], "--photographs: there is no"),
        (["--symbols", str(tmp_path / "no")], "--symbols: there is no PNG file in"),
        (["--out", str(tmp_path / "no" / "a.csv")], "--out: cannot write"),
    ):
        with pytest.raises(UserError, match=line):
            table.main([*arguments, *wrong])


def test_sensitivity_and_plans(capsys: pytest.CaptureFixture[str]) -> None:
    plans.main(["--quick", "--seeds", "1", "--eps", "0.5", "0.01", "--iterations", "1", "3"])
    shown = capsys.readouterr().out
    assert shown.startswith("| eps | t = 1 | t = 3 |\n| --- | --- | --- |\n| 0.01 | ")
    recalls = record_of("plans")["recalls"]
    assert [(of["eps"], of["iterations"]) for of in recalls] == [(0.5, 1), (0.5, 3), (0.01, 1), (0.01, 3)]
    assert recalls[0]["seeds"] != recalls[3]["seeds"]
    for name in ("sensitivity_synthetic", "transport_plans"):
        assert imread(f"docs/figures/{name}.png").std() > 0.01


def test_the_plans_shown_are_those_of_the_loss() -> None:
    """P has the sums of T, and is K up to a factor for each row and column."""
    data = ["datamodule=features", f"datamodule.path={synthetic_file(0, True)}", *plans.LESS, *plans.QUICK]
    outcome = run(composed("gca_domains", "synthetic", [*data, "aligner.iterations=300"]))
    T, K, P = plans.of_test(outcome, a=0.1, b=0.02)
    torch.testing.assert_close(P.sum(1), T.sum(1))
    torch.testing.assert_close(P.sum(0), T.sum(0))
    scaling = P / K
    torch.testing.assert_close(scaling * scaling[0, 0], scaling[:, :1] * scaling[:1])
    domain = outcome.test.domain
    assert domain is not None
    n = sum(min(plans.SHOWN, int((domain == d).sum())) for d in range(3))
    assert T.shape == (n, n)
    assert T.diagonal().min() > 2 * (T - T.diagonal().diag()).max()
