import csv
import json
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import normalize

from aligners.closed_form import CCA, PLS
from aligners.features.kernels import KERNELS
from aligners.objectives.pairwise import SigLIP
from aligners.objectives.softmax import CLIP, DCL, InfoNCE, UniCon
from aligners.spectral import convex
from aligners.unicon_convex import UniConConvex
from datamodules.pairs.pairs import Pairs
from ground.errors import UserError
from tests.cli import call, process
from tests.problems import random_features


def fitted(pairs: Pairs, **changed: object) -> UniConConvex:
    aligner = UniConConvex(**{"rank": 6, **changed})
    return aligner.fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group, batch_size=20)


def cosines(aligner: UniConConvex | CCA | PLS, pairs: Pairs) -> Tensor:
    return normalize(aligner.encode_x(pairs.x)) @ normalize(aligner.encode_y(pairs.y)).T


@pytest.mark.parametrize("whiten", [True, False])
@pytest.mark.parametrize(
    ("name", "objective"),
    [
        ("clip", CLIP(0.3)), ("info_nce", InfoNCE(0.3)), ("siglip", SigLIP(0.3, -4.0)),
        ("dcl", DCL(0.3)), ("unicon", UniCon(0.3, 1.0)),
    ],
)  # fmt: skip
def test_balanced_embeddings_of_full_rank_attain_the_certified_minimum(
    pairs: Pairs, whiten: bool, name: str, objective: CLIP
) -> None:
    aligner = fitted(
        pairs, rank=17, objective=name, tau=0.3, bias=-4.0, rho=0.01, whiten=whiten, tolerance=1e-10, weight_power=0.5
    )
    solution = aligner.solution
    assert solution.converged
    assert solution.gap <= 1e-10 * abs(solution.objective)
    logits = aligner.encode_x(pairs.x).double() @ aligner.encode_y(pairs.y).double().T
    value = objective(logits, pairs.group[:, None] == pairs.y_group) + 0.01 / 2 * solution.Z.square().sum()
    assert float(value) == pytest.approx(solution.objective, rel=1e-5)  # embeddings are float32


@pytest.mark.parametrize("whiten", [True, False])
def test_on_kernel_features_it_is_the_minimum_over_the_exact_kernels(pairs: Pairs, whiten: bool) -> None:
    pairs = Pairs(pairs.x.double(), pairs.y.double(), pairs.x_of_y, pairs.group)
    settings = {"tau": 0.3, "rho": 0.01, "whiten": whiten, "tolerance": 1e-8}
    aligner = fitted(pairs, **settings, feature_map="nystrom", landmarks=1000, landmark_ridge=0.0, rank=4)
    kernel = KERNELS["arc_cosine_1"]
    sides = []
    for rows in (aligner.prepare_x(pairs.x), aligner.prepare_y(pairs.y)):
        values, vectors = torch.linalg.eigh(kernel(rows, rows, 1.0))
        root = vectors * values.clamp_min(0).sqrt()
        root -= root.mean(0)
        if whiten:
            covariance = root.T @ root / len(root)
            ridge = covariance.diagonal().mean() * torch.eye(len(root)).double()
            root = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance + ridge), root.T, upper=False).T
        sides.append(root * root.square().sum(1).mean().rsqrt())
    problem = convex.ConvexProblem(CLIP(0.3), *sides, pairs.group, pairs.y_group, 0.01, 1000)
    exact = convex.solve(problem, 1e-10, 5000)
    assert exact.converged
    suboptimality = aligner.solution.objective - exact.objective
    assert -exact.gap - 1e-10 <= suboptimality <= aligner.solution.gap + 1e-10
    assert aligner.solution.gap <= 1e-8 * aligner.solution.objective


def test_embeddings_are_the_best_approximation_of_the_rank(pairs: Pairs) -> None:
    whole, low = fitted(pairs, rank=17, weight_power=0.5), fitted(pairs, rank=3, weight_power=0.5)
    torch.testing.assert_close(low.encode_x(pairs.x), whole.encode_x(pairs.x)[:, :3], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(low.singular_values, torch.linalg.svdvals(low.solution.Z)[:3])


def test_weight_power_splits_the_spectrum(pairs: Pairs) -> None:
    plain, weighted = fitted(pairs, weight_power=0.0), fitted(pairs, weight_power=0.7)
    expected = plain.encode_y(pairs.y) * plain.singular_values.float() ** 0.7
    torch.testing.assert_close(weighted.encode_y(pairs.y), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lam", [0.1, 1.0])
def test_a_heavy_penalty_leaves_cca(pairs: Pairs, lam: float) -> None:
    cca = CCA(rank=6, lam=lam, weight_power=1.0).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group)
    ours = fitted(pairs, rho=1e5, lam=lam, weight_power=1.0, tolerance=1e-20)
    torch.testing.assert_close(cosines(ours, pairs), cosines(cca, pairs), rtol=0, atol=1e-4)


def test_a_heavy_penalty_without_whitening_leaves_pls(pairs: Pairs) -> None:
    pls = PLS(rank=6, weight_power=0.0).fit(pairs.x, pairs.y, x_of_y=pairs.x_of_y, group=pairs.group)
    ours = fitted(pairs, rho=1e5, whiten=False, weight_power=0.0, tolerance=1e-20)
    torch.testing.assert_close(cosines(ours, pairs), cosines(pls, pairs), rtol=0, atol=1e-4)


def test_the_scale_of_the_features_does_not_matter(pairs: Pairs) -> None:
    one = fitted(pairs, unit=False)
    other = UniConConvex(rank=6, unit=False).fit(
        pairs.x * 8, pairs.y / 4, x_of_y=pairs.x_of_y, group=pairs.group, batch_size=7
    )
    assert one.solution.objective == pytest.approx(other.solution.objective, rel=1e-6)
    torch.testing.assert_close(one.encode_x(pairs.x), other.encode_x(pairs.x * 8), rtol=1e-4, atol=1e-4)


def test_the_gap_is_told(pairs: Pairs, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "aligners.unicon_convex")
    aligner = fitted(pairs)
    (record,) = (r for r in caplog.records if r.name == "aligners.unicon_convex")
    assert record.levelname == "INFO"
    assert record.getMessage().startswith(f"optimality gap <= {aligner.solution.gap:.1e} at objective ")


def test_the_gap_of_the_rank_is_of_the_model_that_encodes(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    hold = UniConConvex.hold
    monkeypatch.setattr(UniConConvex, "hold", lambda self, solved: (held.append(solved), hold(self, solved)))
    aligner = fitted(pairs, rank=3, weight_power=0.5, rho=1e-3)
    logits = aligner.encode_x(pairs.x).double() @ aligner.encode_y(pairs.y).double().T
    loss = CLIP(1.0)(logits, pairs.group[:, None] == pairs.y_group)
    value = loss + 1e-3 / 2 * aligner.singular_values.square().sum()
    expected = float(value) - aligner.solution.objective + aligner.solution.gap
    assert held[-1].passed["optimality_gap_rank"] == pytest.approx(expected, rel=1e-4)
    assert expected > 100 * aligner.solution.gap


def test_a_solve_cut_short_warns(pairs: Pairs, caplog: pytest.LogCaptureFixture) -> None:
    aligner = fitted(pairs, max_iterations=1, rho=1e-5)
    assert not aligner.solution.converged
    assert "not converged: raise aligner.max_iterations" in caplog.text
    assert torch.isfinite(aligner.encode_x(pairs.x)).all()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"objective": "clipp"}, "unknown aligner.objective 'clipp': did you mean 'clip'"),
        ({"objective": "triplet"}, "unknown aligner.objective 'triplet'"),
        ({"tau": 0.0}, "aligner.tau must be above 0, got 0.0"),
        ({"rho": 0.0}, "aligner.rho must be above 0, got 0.0"),
        ({"lam": -1.0}, "aligner.lam must be at least 0, got -1.0"),
        ({"tolerance": 0.0}, "aligner.tolerance must be above 0, got 0.0"),
        ({"max_iterations": 0}, "aligner.max_iterations must be at least 1, got 0"),
        ({"block_size": 0}, "aligner.block_size must be at least 1, got 0"),
    ],
)
def test_bad_arguments_get_one_line(changed: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        UniConConvex(**changed)


def test_rank_above_the_data_says_what_it_allows(pairs: Pairs) -> None:
    with pytest.raises(UserError, match=r"rank 18 is above what the data allows.*aligner.rank=17 or less"):
        fitted(pairs, rank=18)


@pytest.mark.parametrize("whiten", [True, False])
def test_constant_features_are_refused(whiten: bool) -> None:
    with pytest.raises(UserError, match="features that vary"):
        UniConConvex(rank=2, whiten=whiten, unit=False).fit(torch.full((9, 4), 0.25), torch.rand(9, 4))


def test_two_processes_give_the_solution_of_one(tmp_path: Path) -> None:
    x, y, x_of_y = random_features(103, 2, 14, 11, seed=7)  # odd, and so are the splits
    split = torch.zeros(103, dtype=torch.uint8)
    split[61:82], split[82:] = 1, 2
    path = tmp_path / "pairs.safetensors"
    save_file({"x": x, "y": y, "x_of_y": x_of_y, "split": split}, path)
    common = [
        "aligner=unicon_convex", "aligner.rank=8", "aligner.tolerance=1e-12", "aligner.block_size=10",
        "datamodule=features", f"datamodule.path={path}", "datamodule.batch_size=16",
        "trainer.enable_progress_bar=false", "report.sheet_items=1",
    ]  # fmt: skip
    assert call(*common, "trainer.accelerator=cpu", f"run_dir={tmp_path / 'one'}") == 0
    two_devices = ["trainer=ddp_cpu", "trainer.devices=2", f"run_dir={tmp_path / 'two'}"]
    ended = process(*common, *two_devices, cwd=tmp_path, OMP_NUM_THREADS="1")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("optimality gap <= ") == 1
    encoded = []
    for run_dir in (tmp_path / "one", tmp_path / "two"):
        assert (run_dir / "train.log").read_text().count("optimality gap <= ") == 1
        rows = list(csv.DictReader((run_dir / "csv" / "metrics.csv").read_text().splitlines()))
        (gap,) = (float(row["fit/optimality_gap"]) for row in rows if row["fit/optimality_gap"])
        (objective,) = (float(row["fit/objective"]) for row in rows if row["fit/objective"])
        assert 0 < gap <= 1e-12 * objective
        aligner = UniConConvex.load_from_checkpoint(run_dir / "checkpoints" / "last.ckpt", weights_only=True)
        encoded.append((aligner.encode_x(x), json.loads((run_dir / "metrics.json").read_text())["test/mean_recall"]))
    (one, recall), (two, other_recall) = encoded
    torch.testing.assert_close(one, two, rtol=0, atol=1e-4)
    assert recall == other_recall


@pytest.mark.parametrize("feature_map", ["identity", "nystrom"])
def test_without_centring_the_means_are_left_in(pairs: Pairs, feature_map: str) -> None:
    settings = {"feature_map": feature_map, "landmarks": 50, "rho": 0.01, "weight_power": 0.5, "tolerance": 1e-8}
    centred, printed = (fitted(pairs, rank=17, centre=centre, tau=0.3, **settings) for centre in (True, False))
    assert printed.mean_x.abs().max() == 0
    assert printed.offset_x.abs().max() == 0
    assert not torch.allclose(cosines(centred, pairs), cosines(printed, pairs), atol=0.01)
    if feature_map == "identity":  # at full rank its embeddings attain the certified minimum, without an offset
        logits = printed.encode_x(pairs.x).double() @ printed.encode_y(pairs.y).double().T
        value = CLIP(0.3)(logits, pairs.group[:, None] == pairs.y_group)
        value = value + 0.01 / 2 * printed.solution.Z.square().sum()
        assert float(value) == pytest.approx(printed.solution.objective, rel=1e-5)
