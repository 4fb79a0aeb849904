"""The latent-factor models: their shape, their rank, their randomness."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from datamodules.pairs.splits import SPLITS
from datamodules.synthetic import SyntheticDataModule
from ground.errors import UserError

CONFIG = Path(__file__).parents[2] / "configs" / "datamodule" / "synthetic.yaml"


def made(**changes: Any) -> SyntheticDataModule:
    """The datamodule of the config with some values changed, set up; an unknown key is an error."""
    config = OmegaConf.create({"seed": 0, "datamodule": OmegaConf.load(CONFIG)})
    OmegaConf.set_struct(config, True)
    try:
        data = instantiate(OmegaConf.merge(config, {"datamodule": changes}).datamodule)
    except InstantiationException as error:
        raise (error.__cause__ or error) from None
    assert isinstance(data, SyntheticDataModule)
    data.setup()
    return data


def everything(data: SyntheticDataModule) -> tuple[Tensor, Tensor, Tensor]:
    """x, y and label of all splits."""
    batches = [data.splits[name][torch.arange(data.splits[name].n_x)] for name in SPLITS]
    labels = [pairs.label for pairs in data.splits.values() if pairs.label is not None]
    return torch.cat([b.x for b in batches]), torch.cat([b.y for b in batches]), torch.cat(labels)


def test_sizes_and_pairs() -> None:
    data = made(n_train=50, n_val=20, n_test=31)
    assert [data.splits[name].n_x for name in SPLITS] == [50, 20, 31]
    assert data.dims == (40, 30)
    for pairs in data.splits.values():
        assert torch.equal(pairs[torch.arange(pairs.n_x)].positives, torch.eye(pairs.n_x, dtype=torch.bool))
    assert data.label_names == ["centre 0", "centre 1", "centre 2"]
    _, _, label = everything(data)
    assert label.unique().tolist() == [0, 1, 2]
    assert data.protocol == {"dataset": "synthetic, none", "centre_scale": 3.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"n_train": 599},
        {"latent_dim": 4},
        {"n_centres": 2},
        {"centre_scale": 1.0},
        {"latent_std": 0.5},
        {"d_x": 41},
        {"d_y": 29},
        {"noise": 0.1},
        {"nonlinearity": "tanh"},
        {"data_seed": 1},
    ],
)
def test_every_constant_of_the_model_tells(changes: dict[str, Any]) -> None:
    plain, other = everything(made()), everything(made(**changes))
    assert any(a.shape != b.shape or not torch.equal(a, b) for a, b in zip(plain, other, strict=True))


def test_the_seed_of_the_data_fixes_them() -> None:
    for a, b in zip(everything(made(data_seed=3)), everything(made(data_seed=3, seed=9)), strict=True):
        assert torch.equal(a, b)
    order = {
        seed: [part.x_index.tolist() for part in made(seed=seed, batch_size=100).train_dataloader()] for seed in (0, 1)
    }
    assert order[0] != order[1]


def test_the_linear_model_has_the_rank_of_the_latent_factor_plus_noise() -> None:
    for rows in everything(made(noise=0.0))[:2]:
        assert int(torch.linalg.matrix_rank(rows.double(), rtol=1e-5)) == 10
    for rows in everything(made(n_train=20_000, noise=0.3))[:2]:
        spectrum = torch.linalg.eigvalsh(torch.cov(rows.double().T)).flip(0)
        assert spectrum[9] > 0.9  # latent_std^2 = 1 and more
        torch.testing.assert_close(spectrum[10:], torch.full_like(spectrum[10:], 0.3**2), rtol=0.1, atol=0)


def test_centres_have_their_length_and_are_the_labels() -> None:
    x, y, label = everything(made(noise=0.0, latent_std=0.0))
    for rows in (x, y):
        torch.testing.assert_close(rows.norm(dim=1), torch.full((1000,), 3.0))
        assert len({tuple(row.tolist()) for row in rows[label == 0].round(decimals=3)}) == 1
    assert (x @ x.T > 8.99).equal(label[:, None] == label[None, :])


def test_the_noise_is_inside_of_tanh_or_outside() -> None:
    linear = everything(made(noise=1.0))[:2]
    clean = everything(made(noise=0.0))[:2]
    inside = everything(made(nonlinearity="tanh", noise=1.0))[:2]
    outside = everything(made(nonlinearity="tanh", noise=1.0, noise_place="outside"))[:2]
    for whole, signal, x_in, x_out in zip(linear, clean, inside, outside, strict=True):
        assert float(x_in.abs().max()) <= 1
        torch.testing.assert_close(x_in, torch.tanh(whole))
        torch.testing.assert_close(x_out, torch.tanh(signal) + whole - signal)


def test_the_place_of_the_noise_leaves_the_linear_model_alone() -> None:
    for a, b in zip(everything(made()), everything(made(noise_place="outside")), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nonlinearity": "tan"}, "unknown datamodule.nonlinearity 'tan': did you mean 'tanh'"),
        ({"noise_place": "inside_"}, "unknown datamodule.noise_place 'inside_': did you mean 'inside'"),
        ({"latent_dim": 31}, "datamodule.latent_dim must be at most d_x and d_y, got 31 > 30"),
        ({"latent_dim": 0}, "datamodule.latent_dim must be at least 1, got 0"),
        ({"n_centres": 0}, "datamodule.n_centres must be at least 1, got 0"),
        ({"n_val": 0}, "datamodule.n_val must be at least 1, got 0"),
        ({"batch_size": 0}, "datamodule.batch_size must be at least 1, got 0"),
        ({"noise": -0.1}, "datamodule.noise must be at least 0, got -0.1"),
    ],
)
def test_errors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        made(**changes)


def test_setting_up_twice_changes_nothing() -> None:
    data = made()
    splits = dict(data.splits)
    data.setup("test")
    assert all(data.splits[name] is splits[name] for name in SPLITS)
