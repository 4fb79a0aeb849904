"""What UniCon's paper (ICLR 2026) gives of its experiments, against the configs that bear its name."""

from typing import Any, NamedTuple

import pytest
from omegaconf import OmegaConf

from tests.experiments import PAPER, aligners, composed

RN18, RN50, SBERT, WAV2CLIP = "resnet18", "resnet50", "all-mpnet-base-v2", "Wav2Clip"
CLIP_IMAGE, CLIP_TEXT = "ViT-B-32 openai image", "ViT-B-32 openai text"
UNICON, SGD = ["unicon_paper", "sgd_clip_paper"], ["sgd_clip_paper"]
KERNELS = ["rbf", "matern_32", "cosine", "exp_cosine", "arc_cosine_0", "arc_cosine_1"]
BATCHES = ["unicon_batches_paper"]


class Printed(NamedTuple):
    """What is given of an experiment; None where nothing is."""

    features: tuple[str, ...]
    aligners: list[str]
    split: str | None = None
    captions: str | None = None
    epochs: int | None = None
    passes: int = 2
    swept: dict[str, list[str]] = {}  # noqa: RUF012
    train_items: int | None = None


def flickr30k(image: str, text: str, of: list[str] = UNICON, **changes: Any) -> Printed:
    return Printed((image, text), of, "paper", "first", 50 if of == UNICON else None, **changes)


def mscoco(image: str, text: str, of: list[str] = UNICON, **changes: Any) -> Printed:
    return Printed((image, text), of, "paper", **changes)


COCO_CLIP, SIZES = (CLIP_IMAGE, CLIP_TEXT), {"datamodule.batch_size": ["100", "500", "1000", "10000", "20000"]}
PRINTED = {
    # section 4.2
    "cifar10_paper": Printed((RN18,), ["unicon_kernel_paper", "sgd_mlp_cifar10_paper"], epochs=300),
    # Tables 1 to 4
    "table1_flickr30k_rn18_paper": flickr30k(RN18, SBERT),
    "table1_flickr30k_rn50_paper": flickr30k(RN50, SBERT),
    "table1_flickr30k_clip_paper": flickr30k(*COCO_CLIP),
    "table2_mscoco_rn50_paper": mscoco(RN50, SBERT),
    "table3_mscoco_clip_paper": mscoco(*COCO_CLIP),
    "transfer_rn50_paper": mscoco(RN50, SBERT),
    "transfer_clip_paper": mscoco(*COCO_CLIP),
    "data_efficiency_paper": mscoco(*COCO_CLIP, train_items=200),
    # Figure C4
    "figure_c4_mscoco_rn50_paper": mscoco(RN50, SBERT, ["unicon_paper"], passes=20),
    "figure_c4_mscoco_rn50_sgd_paper": mscoco(RN50, SBERT, SGD, epochs=1000),
    # Tables 5 to 7
    "table5_stabilisation_paper": mscoco(
        *COCO_CLIP, ["unicon_paper"],
        swept={
            "aligner.whiten": ["false", "true"],
            "aligner.svd": ["exact", "randomised"],
            "aligner.unit": ["false", "true"],
        },
    ),
    "table6_clotho_paper": Printed((WAV2CLIP, CLIP_TEXT), ["identity", *UNICON]),
    "table7_kernels_cifar10_paper": Printed((RN18,), ["unicon_kernel_paper"], swept={"aligner.kernel": KERNELS}),
    # C.3 and C.7
    "c3_batches_flickr30k_paper": flickr30k(*COCO_CLIP, BATCHES, swept=SIZES),
    "c3_batches_mscoco_paper": mscoco(*COCO_CLIP, BATCHES, swept=SIZES),
    "c3_batches_cifar10_paper": Printed((RN18,), BATCHES, swept={"datamodule.batch_size": ["200", "300", "400"]}),
    "c3_aggregation_paper": Printed(
        (RN18,), BATCHES, swept={"aligner.aggregate": ["accuracy", "softmax", "majority"]}
    ),
    "c3_balanced_paper": Printed((RN18,), BATCHES, swept={"datamodule.batches": ["random", "balanced"]}),
    "c7_siglip_paper": mscoco(*COCO_CLIP, ["unicon_siglip_paper", "sgd_siglip_paper"]),
}  # fmt: skip


def encoder(config: Any) -> str:
    """A backbone's name."""
    kind = config._target_.rpartition(".")[2]
    match kind:
        case "TorchvisionResNet":
            assert config.pretrained.startswith("IMAGENET1K")
            return str(config.arch)
        case "SentenceTransformerText":
            return str(config.pretrained).rpartition("/")[2]
        case "OpenClip":
            return f"{config.model} {config.pretrained} {config.side}"
    return str(kind)


def features(datamodule: Any) -> tuple[str, ...]:
    """The names of its backbones, text last; views of images have none of texts."""
    keys = sorted(str(key) for key in datamodule if str(key).endswith("_backbone"))
    keys = [key for key in keys if key != "text_backbone" or datamodule.get("pairs", "names") == "names"]
    return tuple(encoder(datamodule[key]) for key in keys)


def test_every_printed_experiment_has_its_line() -> None:
    assert set(PRINTED) == {name for name in PAPER if not name.startswith("synthetic")}


@pytest.mark.parametrize("name", PRINTED)
def test_data_aligners_and_epochs_are_the_printed_ones(name: str) -> None:
    (config, sweep), printed = composed(name), PRINTED[name]
    assert features(config.datamodule) == printed.features
    assert sweep == {"aligner": printed.aligners, "seed": ["0"], **printed.swept}
    if printed.split is not None:
        assert config.datamodule.split == printed.split
    if printed.captions is not None:
        assert config.datamodule.captions == printed.captions
    if printed.epochs is not None:
        assert config.trainer.max_epochs == printed.epochs
    assert config.datamodule.train_items == printed.train_items
    assert config.evaluation.keep == ("best" if name == "figure_c4_mscoco_rn50_sgd_paper" else "last")


@pytest.mark.parametrize("name", PRINTED)
def test_unicon_is_the_literal_iteration(name: str) -> None:
    for aligner, values in aligners(name).items():
        if not aligner.startswith("unicon"):
            continue
        assert (values.rank, values.tau, values.passes) == (128, 1.0, PRINTED[name].passes)
        assert (values.unit, values.centre, values.whiten, values.weight_power) == (False, False, False, 0.5)
        if aligner == "unicon_batches_paper":  # batches in rounds have no step
            assert values.aggregate == "accuracy"
            continue
        assert (values.step, values.eta, values.safeguard, values.negatives) == ("full", 1.0, False, "all")
        assert values.objective == ("siglip" if "siglip" in aligner else "unicon")
        kernel = ("nystrom", "arc_cosine_1") if aligner == "unicon_kernel_paper" else ("identity", "linear")
        assert (values.feature_map, values.kernel) == kernel  # order 1 is what is printed as the angular kernel


@pytest.mark.parametrize("name", PRINTED)
def test_sgd_is_the_printed_baseline(name: str) -> None:
    for aligner, values in aligners(name).items():
        if not aligner.startswith("sgd"):
            continue
        assert (values.rank, values.tau, values.learn_tau, values.scheduler) == (128, 1.0, False, None)
        assert values.warm_start is None
        if aligner == "sgd_mlp_cifar10_paper":  # plain
            assert (values.head, values.objective) == ("mlp", "clip")
            assert OmegaConf.to_container(values.optimizer) == {
                "_target_": "torch.optim.SGD", "lr": values.optimizer.lr, "weight_decay": 0.0,
            }  # fmt: skip
        else:
            assert (values.head, values.unit) == ("linear", False)
            assert (values.optimizer._target_, values.optimizer.lr) == ("torch.optim.AdamW", 2e-3)
            assert "siglip" in aligner or values.objective == "clip"


def test_cifar10_is_of_two_views_and_one_linear_probe() -> None:
    config, _ = composed("cifar10_paper")
    assert config.datamodule._target_ == "datamodules.cifar10.CIFAR10DataModule"
    assert (config.datamodule.views, config.datamodule.pairs, config.datamodule.positives) == (2, "views", "self")
    assert config.evaluation.probe is not None
    assert config.report.tsne_items > 0  # Figure 4: the map of the clusters


def test_balanced_and_random_pairs_are_of_two_images() -> None:
    assert composed("c3_balanced_paper")[0].datamodule.pairs == "images"


@pytest.mark.parametrize("name", ["transfer_rn50_paper", "transfer_clip_paper"])
def test_transfer_is_to_the_printed_split_of_flickr30k(name: str) -> None:
    config, _ = composed(name)
    other = config.eval_datamodule
    assert other._target_ == "datamodules.flickr30k.Flickr30KDataModule"
    assert (other.split, other.captions) == ("paper", "first")
    assert features(other) == PRINTED[name].features


# section 4.1


@pytest.mark.parametrize(
    ("name", "epochs", "baseline"),
    [("synthetic_linear_paper", 400, "sgd_clip_paper"), ("synthetic_nonlinear_paper", 500, "sgd_mlp_paper")],
)
def test_latent_factors_are_the_printed_ones(name: str, epochs: int, baseline: str) -> None:
    config, sweep = composed(name)
    data = config.datamodule
    assert (data.n_train, data.latent_dim, data.n_centres, data.d_x, data.d_y, data.noise) == (600, 10, 3, 40, 30, 0.3)
    expected = "none" if name == "synthetic_linear_paper" else "tanh"
    assert (data.nonlinearity, data.noise_place) == (expected, "inside")
    assert config.trainer.max_epochs == epochs
    assert baseline in sweep["aligner"]
    found = aligners(name)[baseline]
    assert (found.optimizer._target_, found.optimizer.lr, found.tau) == ("torch.optim.AdamW", 2e-3, 1.0)
    assert found.head == ("linear" if name == "synthetic_linear_paper" else "mlp")
    for aligner, values in aligners(name).items():
        if aligner.startswith("unicon"):
            assert (values.tau, values.passes, values.whiten, values.centre) == (1.0, 2, False, False)


def test_the_kernels_of_table_7_on_latent_factors() -> None:
    config, sweep = composed("synthetic_kernels_paper")
    assert sweep["aligner.kernel"] == KERNELS
    assert config.datamodule.nonlinearity == "tanh"
    assert config.aligner.landmarks >= config.datamodule.n_train  # every sample


def test_the_triplet_variant_has_the_weights_of_the_hinge() -> None:
    config, sweep = composed("synthetic_triplet_paper")
    assert (config.aligner.objective, config.aligner.passes, config.aligner.step) == ("triplet", 2, "full")
    assert sweep["datamodule.nonlinearity"] == ["none", "tanh"]


def test_figure_3_is_of_many_passes() -> None:
    config, _ = composed("synthetic_passes")
    assert config.aligner.passes >= 2
    assert config.report.weights_items > 0
