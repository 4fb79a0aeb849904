"""Every experiment: a sound config that means what its name says, and runs on a small sample in the official format."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml
from omegaconf import DictConfig, OmegaConf

import train
from ground.values import check
from report.pictures import Pictures
from tests.backbones.tiny_models import TINY_CLIP, VOCABULARY, saved_clip
from tests.cli import call
from tests.datamodules import clotho_layout, image_layouts, layouts
from tests.experiments import FAIR, NAMES, PAPER, aligners, composed

BASELINES = {"cca", "pls", "sgd_clip", "sgd_siglip", "triplet", "unicon", "unicon_paper"}
ONE_DIMENSION = ["cifar10", "data_efficiency", "table1_flickr30k_clip", "table3_mscoco_clip", "table6_clotho"]
ONE_DIMENSION += ["table6_clotho_clap", "transfer_clip"]
"""Whose features can be compared as they are."""


@pytest.mark.parametrize("name", NAMES)
def test_every_run_of_an_experiment_has_a_sound_config(name: str) -> None:
    config, sweep = composed(name)
    assert config.name == name
    check(config)
    for aligner in aligners(name).values():
        changed: Any = OmegaConf.merge(config, {"aligner": None})
        changed.aligner = aligner
        for key, values in sweep.items():
            for value in values if key not in ("aligner", "seed") else []:
                OmegaConf.update(changed, key, yaml.safe_load(value))  # an unknown key is an error
                check(changed)
        check(changed)


@pytest.mark.parametrize("name", FAIR)
def test_what_is_fair_has_five_seeds_one_rank_and_the_pass_chosen_on_validation(name: str) -> None:
    config, sweep = composed(name)
    assert config.evaluation.keep == "best"
    assert sweep["seed"] == ["0", "1", "2", "3", "4"]
    assert {values.rank for aligner, values in aligners(name).items() if aligner != "identity"} == {128}
    for values in aligners(name).values():
        if "learn_tau" in values:
            falls_with_tau_alone = values.get("objective") in ("rince", "gca_rince")
            assert values.learn_tau != falls_with_tau_alone
            assert values.optimizer["_target_"] == "torch.optim.AdamW"
            assert values.scheduler["_target_"].endswith("CosineAnnealingLR")
    if name.startswith(("table1", "table2", "table3", "table6", "transfer", "data_efficiency")) or name == "cifar10":
        assert set(sweep["aligner"]) == BASELINES | ({"identity"} if name in ONE_DIMENSION else set())


@pytest.mark.parametrize("name", [name for name in PAPER if name.removesuffix("_paper") in FAIR])
def test_both_forms_have_the_same_features(name: str) -> None:
    for owner in ("datamodule", "eval_datamodule"):
        one, other = (composed(each)[0][owner] or {} for each in (name, name.removesuffix("_paper")))
        backbones = {key: value for key, value in one.items() if key.endswith("_backbone")}
        assert backbones == {key: value for key, value in other.items() if key.endswith("_backbone")}
        if "split" in one and "clotho" not in name:
            assert (one["split"], other["split"]) == ("paper", "karpathy")


# end to end


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    """A folder for each dataset."""
    root = tmp_path_factory.mktemp("datasets")
    for image in layouts.flickr30k(root / "flickr30k"):
        layouts.draw(root / "flickr30k" / "flickr30k-images" / image.name, image.grey)  # none is missing or damaged
    layouts.coco(root / "mscoco", 2014, karpathy=True)
    layouts.coco(root / "mscoco", 2017)
    generator = np.random.default_rng(0)
    for folder, sounds in clotho_layout.write_clotho(root / "clotho").items():
        captions = root / "clotho" / f"clotho_captions_{folder}.csv"
        # words that the tiny text model knows, and sounds of different spectra
        words = [[" ".join(generator.choice(VOCABULARY[5:], 4)) for _ in range(5)] for _ in sounds]
        names = [row[0] for row in clotho_layout.read_rows(captions)]
        clotho_layout.write_captions(captions, [[name, *each] for name, each in zip(names, words, strict=True)])
        for sound in sounds:
            noise = np.cumsum(generator.normal(size=4000)) / 100
            soundfile.write(sound.path, noise / (1 + sound.number), 8000)
    for split, start in (("train", 0), ("test", 60)):
        image_layouts.class_folders(root / "image_folder" / split, {"cat": 30, "dog": 30}, start)
    for domain in ("art", "photo"):
        image_layouts.class_folders(root / "domains" / domain, {"cat": 30, "dog": 30}, 60 * (domain == "photo"))
    with pytest.MonkeyPatch.context() as patch:
        image_layouts.cifar_pickles(root / "cifar10", patch)
        patch.setattr(Pictures, "draw", lambda *_: {})  # pictures take most of the time, and have their tests
        names = ("flickr30k", "mscoco", "clotho", "image_folder", "domains", "cifar10", "cache")
        yield {name: root / name for name in names}


@pytest.fixture(scope="module")
def weights(
    resnet18_file: Path,
    clip_folder: Path,
    sbert_folder: Path,
    clap_folder: Path,
    wav2clip_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, dict[str, Any]]:
    """What to set of each class of backbones, or of one beside a certain other."""
    wide = saved_clip(tmp_path_factory.mktemp("wide_clip"), TINY_CLIP | {"embed_dim": 512})  # as Wav2CLIP
    return {
        "EfficientNetLite0": {"size": 32},
        "TorchvisionResNet": {"arch": "resnet18", "weights": str(resnet18_file), "size": 32},
        "SentenceTransformerText": {"weights": str(sbert_folder)},
        "OpenClip": tiny_clip(clip_folder),
        "OpenClip beside Wav2Clip": tiny_clip(wide),
        "Clap": {"weights": str(clap_folder)},
        "Wav2Clip": {"weights": str(wav2clip_file)},
        "LogMel": {},
    }


def tiny_clip(folder: Path) -> dict[str, Any]:
    return {
        "model": str(folder / "tiny_clip.json"),
        "pretrained": None,
        "weights": str(folder / "tiny_clip.safetensors"),
    }


def small(name: str, data: dict[str, Path], weights: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What makes a run of an experiment small, with the last value of each key that it sweeps."""
    config, sweep = composed(name)
    kind = config.datamodule._target_.split(".")[1]
    changes = {key: yaml.safe_load(values[-1]) for key, values in sweep.items() if key != "aligner"} | {
        "seed": 0, "aligner.rank": 2, "trainer.max_epochs": 2, "trainer.accelerator": "cpu",
        "trainer.enable_progress_bar": False, "evaluation.probe.strengths": [1.0],
    }  # fmt: skip
    if kind == "synthetic":
        return changes | {f"datamodule.n_{split}": n for split, n in (("train", 60), ("val", 20), ("test", 20))}
    changes |= {
        "data_dir": str(data["domains" if config.datamodule.get("domains") else kind]),
        "cache_dir": str(data["cache"]),
        "datamodule.max_unreadable_share": 0.5,
        "datamodule.batch_size": 20,
    }
    if config.eval_datamodule is not None:
        changes["eval_datamodule.data_dir"] = str(data["flickr30k"])
    if config.datamodule.get("captions") == "first":
        changes["aligner.rank"] = 1  # the tiny text model tells few captions apart
    if config.datamodule.train_items is not None:
        changes["datamodule.train_items"] = 12
    keys = [key for key in ("image_backbone", "text_backbone", "audio_backbone") if key in config.datamodule]
    kinds = {key: config.datamodule[key]._target_.split(".")[-1] for key in keys}
    for key, each in kinds.items():
        values = weights.get(f"{each} beside {kinds[keys[-1]]}", weights[each])
        changes |= {f"datamodule.{key}.{setting}": value for setting, value in values.items()}
    return changes


def is_right(name: str, config: DictConfig, metrics: dict[str, Any]) -> None:
    """The metrics are those of the experiment's data and protocol."""
    assert 0 <= metrics["test/mean_recall"] <= 100
    if "split" in config.datamodule and "clotho" not in name:
        assert metrics["protocol/split"] == config.datamodule.split
        assert metrics["protocol/captions"] == config.datamodule.captions
    if config.datamodule._target_.split(".")[1] in ("cifar10", "image_folder"):
        assert 0 <= metrics["test/linear_probe/accuracy"] <= 100
        assert metrics["protocol/batches"] == config.datamodule.batches
        assert metrics["protocol/pairs"] == config.datamodule.pairs
        assert metrics["protocol/policy"] == config.datamodule.policy
        assert ("test/domain_probe/accuracy" in metrics) == bool(config.datamodule.get("domains"))
    if config.eval_datamodule is not None:
        assert 0 <= metrics["transfer/mean_recall"] <= 100
        assert metrics["transfer/protocol/dataset"] == "flickr30k"
        assert metrics["transfer/protocol/split"] == config.eval_datamodule.split


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_runs_end_to_end(
    name: str, data: dict[str, Path], weights: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    found = aligners(name)
    fitted = [aligner for aligner in found if aligner != "identity"]
    for aligner in dict.fromkeys([fitted[0], fitted[-1], *(set(found) - set(fitted))]):
        config: Any = OmegaConf.merge(composed(name)[0], {"aligner": None})
        config.aligner = found[aligner]
        changes = small(name, data, weights) | {"run_dir": str(tmp_path / f"run {aligner}")}
        if aligner == "identity":
            del changes["aligner.rank"]  # it has none of its own
        for key, value in changes.items():
            OmegaConf.update(config, key, value)
        result = train.run(config)
        assert result["name"] == name
        is_right(name, config, result["metrics"])


SEVERAL = ["table1_flickr30k_rn18", "cifar10_paper", "transfer_clip_paper"]


@pytest.mark.parametrize("name", SEVERAL)
def test_the_command_line_sweeps_an_experiment(
    name: str, data: dict[str, Path], weights: dict[str, dict[str, Any]], tmp_path: Path
) -> None:
    config, sweep = composed(name)
    changes = small(name, data, weights) | {
        "run_dir": str(tmp_path / "run"),
        "hydra.sweep.dir": str(tmp_path / "sweep"),
    }
    overrides = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in changes.items()]
    assert call(f"experiment={name}", *overrides) == 0
    runs = json.loads((tmp_path / "sweep" / "sweep.json").read_text(encoding="utf-8"))
    assert [run["aligner"] for run in runs] == sweep["aligner"]
    for run in runs:
        assert run["name"] == name
        is_right(name, config, run["metrics"])
