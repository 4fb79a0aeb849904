"""The datamodule of images with classes, aligned with themselves: views of an image are its pairs."""

from abc import abstractmethod
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from backbones.backbone import Backbone
from datamodules.base.extracted import ExtractedDataModule
from datamodules.base.extracted_pairs import ExtractedPairs
from datamodules.images.augmentations import EXTREME
from datamodules.images.labelled_images import LabelledImages
from datamodules.images.policies import Policy, policy_of
from datamodules.images.shifts import GENERATED, chosen, corrupted, extreme
from datamodules.images.views import Transform, Views
from datamodules.items.items import Items, Texts
from datamodules.items.raw_pairs import RawPairs
from datamodules.pairs.balanced import BalancedBatches
from datamodules.pairs.batches import GroupBatches
from datamodules.pairs.pairs import Labelled, PairBatch, Pairs
from datamodules.pairs.partners import x_of_partners
from datamodules.pairs.training import of_y
from ground.errors import UserError
from ground.ranges import Seed, at_least, between, even


class ImageViewsDataModule(ExtractedDataModule):
    """Pairs of views of images, through one frozen backbone.

    Of V views of a training image, 0, 2, 4, ... are x and 1, 3, 5, ... are y. In val and test the image itself is x
    and one view of it is y, by SimCLR's augmentation whatever the ``policy`` of training is. The label is the class;
    probes are fitted on the training images themselves.

    With ``pairs="images"`` a view x of a training image has a view y of *another* image as its partner (UniCon, C.3):
    one of any class where ``batches`` are random, so that the classes of both sides are drawn independently, and one
    of its own class where they are balanced. Every image is as often x and y as under ``views``.

    With ``pairs="names"`` x is an image and y the name of its class as a text, underscores being blanks: in training
    one for each image, in val and test one for each class, whose images are its positives. Nothing is augmented. So an
    aligner of images and texts is tested on classes that it was not fitted on.

    A dataset writes ``images``, which also sets ``label_names``.

    Args:
        image_backbone: the frozen encoder of images.
        text_backbone: of the names of classes.
        views: V.
        view_seed: of the views and of the shifts.
        pairs: of two ``views`` of one image, of two different ``images``, drawn with ``seed``, or of images and the
            ``names`` of their classes.
        policy: how training views are made: by SimCLR's augmentation, or noisier, see ``datamodules.images.policies``.
        at: views are made at the ``native`` size of an image and the backbone resizes them; or at its size, to which
            the image is resized first.
        positives: a view's positives are the views of its image (``self``) or of its class (``class``), in every split.
        batches: of training images at random, or ``balanced``: with equal numbers of each class.
        corruptions: those of CIFAR-10-C that shift the test images, or 'all'.
        severities: of the corruptions, those of ``policy="cifar10_c"`` too.
        extreme: augmentations of GCA that shift the test images, or 'all'.
        common: as in ``ExtractedDataModule``.

    Raises:
        UserError: an argument out of its range, or pairs of images of different classes whose positives are the
            classes; at ``prepare_data``, pairs of images where a class has a single one, or names that are numbers.
    """

    modalities = ("image", "image")
    one_modality = True

    def __init__(
        self,
        image_backbone: Backbone,
        text_backbone: Backbone | None,
        *,
        views: Annotated[int, even, at_least(2)],
        view_seed: Seed,
        pairs: Literal["views", "images", "names"],
        policy: Policy,
        at: Literal["native", "backbone"],
        positives: Literal["self", "class"],
        batches: Literal["random", "balanced"],
        corruptions: list[str] | str,
        severities: list[Annotated[int, between(1, 5)]],
        extreme: list[str] | str,
        **common: Any,
    ):
        y_backbone = image_backbone
        if pairs == "names":
            if text_backbone is None:
                raise UserError("datamodule.pairs=names needs a datamodule.text_backbone, as minilm")
            self.modalities, self.one_modality, y_backbone = ("image", "text"), False, text_backbone
        super().__init__(image_backbone, y_backbone, **common)
        if (pairs, batches, positives) == ("images", "random", "class"):
            raise UserError(
                "datamodule.positives=class needs pairs of one class, and those of datamodule.pairs=images with "
                "batches=random are of two: set datamodule.batches=balanced or datamodule.pairs=views"
            )
        self.views, self.view_seed, self.pairs, self.policy, self.at = views, view_seed, pairs, policy, at
        self.positives, self.batches = positives, batches
        self.corruptions = chosen("corruptions", corruptions, self.known_corruptions)
        self.severities = list(severities)
        self.extreme = chosen("extreme", extreme, list(EXTREME))
        self._probe_train: Labelled | None = None
        self._domain_train: Labelled | None = None
        self._classes: dict[str, Tensor] = {}  # of all images of each split, as they are numbered in views

    @abstractmethod
    def images(self) -> dict[str, LabelledImages]:
        """The images of train, val and test; opens no image file."""

    @property
    def known_corruptions(self) -> list[str]:
        """What 'all' corruptions are."""
        return GENERATED

    def corrupted(self, test: LabelledImages, name: str, severity: int) -> LabelledImages:
        """The test images under a corruption."""
        return corrupted(test, name, severity, self.view_seed)

    def _names(self) -> tuple[str, str]:
        return ("view_a", "view_b") if self.one_modality else super()._names()

    @property
    def probe_train(self) -> Labelled | None:
        """The training images as they are, not their views."""
        return self._probe_train

    @property
    def domain_train(self) -> Labelled | None:
        return self._domain_train

    @property
    def protocol(self) -> dict[str, str | int | float]:
        facts: dict[str, str | int | float] = {"pairs": self.pairs, "batches": self.batches}
        if self.pairs == "names":
            return facts | {"positives": "class"} | super().protocol
        views: dict[str, str | int | float] = {
            "views": self.views,
            "policy": self.policy,
            "views_at": self.at,
            "view_seed": self.view_seed,
            "positives": self.positives,
        }
        return facts | views | super().protocol

    def describe_y(self, split: str, index: int) -> str:
        y = self.raw[split].y
        if not isinstance(y, Views):
            return super().describe_y(split, index)
        assert self.label_names is not None
        image = int(y.image[index])
        return f"{self.label_names[int(self._classes[split][image])]}, a view of {image}"

    def _augment(self, policy: Policy) -> Transform:
        size = None
        if self.at == "backbone":
            size = getattr(self.x_backbone, "size", None)
            if size is None:
                backbone = type(self.x_backbone).__name__
                raise UserError(f"{backbone} does not tell its size: set datamodule.at=native instead of at=backbone")
        return policy_of(policy, size, self.severities)

    def read(self) -> dict[str, RawPairs]:
        if self.pairs == "names":
            return {split: self._named(each) for split, each in self.images().items()}
        raw = {}
        for split, each in self.images().items():
            n, name = len(each.items), each.items.name
            augment = self._augment(self.policy if split == "train" else "simclr")
            self._classes[split] = each.label
            if split == "train":
                image = torch.arange(n).repeat_interleave(self.views // 2)
                number = torch.arange(0, self.views, 2).repeat(n)
                x: Items = Views(each.items, augment, self.view_seed, f"{name}, view_a", image, number)
                y = Views(each.items, augment, self.view_seed, f"{name}, view_b", image, number + 1)
            else:
                image, x = torch.arange(n), each.items
                y = Views(each.items, augment, self.view_seed, f"{name}, view_b")
            label = each.label[image]
            group = label if self.positives == "class" else image
            x_of_y = torch.arange(len(image))
            if split == "train" and self.pairs == "images":
                # the classes to draw within: of random pairs there is one, of all images
                within = each.label if self.batches == "balanced" else torch.zeros_like(each.label)
                x_of_y = x_of_partners(within, self.views // 2, self.seed)
            raw[split] = RawPairs(x, y, x_of_y, group, label, None if each.domain is None else each.domain[image])
        return raw

    def _named(self, images: LabelledImages) -> RawPairs:
        names = self.spoken_names
        if names is None:
            raise UserError(
                "datamodule.pairs=names needs names of the classes, here they are numbers: call them by words"
            )
        texts = Texts([names[c] for c in images.label.tolist()], f"{images.items.name}, names")
        return RawPairs(images.items, texts, torch.arange(len(images.items)), images.label, images.label, images.domain)

    def _with_y(self, split: str, extracted: ExtractedPairs) -> tuple[Pairs, RawPairs]:
        if self.pairs == "names" and split != "train":
            # a name once, of images that can be read
            y_index = _firsts(extracted.pairs.y_group)[1]
            pairs, raw = of_y(extracted.pairs, y_index), extracted.raw.take_y(y_index)
            extracted = replace(extracted, pairs=pairs, raw=raw)
        return super()._with_y(split, extracted)

    def setup(self, stage: str | None = None) -> None:
        if self.splits:
            return
        super().setup(stage)
        try:
            images = self._training_images()
            self._probe_train = self._labelled(images)
            if images.domain is not None:  # the features are in the cache now
                self._domain_train = self._labelled(LabelledImages(images.items, images.domain))
            self.shifted = {name: self._labelled(each) for name, each in self._shifts().items()}
        except BaseException:
            self.splits = {}  # so that a setup that failed can be repeated
            raise

    def _training_images(self) -> LabelledImages:
        """Those of which there are views."""
        train = self.raw["train"]
        assert train.label is not None
        if not isinstance(train.x, Views):
            return LabelledImages(train.x, train.label, train.domain)
        image, first = _firsts(train.x.image)
        items = train.x.items
        domain = None if train.domain is None else train.domain[first]
        return LabelledImages(items if len(image) == len(items) else items.take(image), train.label[first], domain)

    def _shifts(self) -> dict[str, LabelledImages]:
        raw = self.raw["test"]
        assert raw.label is not None
        test = LabelledImages(raw.x, raw.label)
        shifts = {
            f"{name}_{severity}": self.corrupted(test, name, severity)
            for name in self.corruptions
            for severity in self.severities
        }
        return shifts | {f"extreme_{name}": extreme(test, name, self.view_seed) for name in self.extreme}

    def _labelled(self, images: LabelledImages) -> Labelled:
        features = self.cache.features(images.items, self.x_backbone)
        self.feature_seconds += features.seconds
        self.extracted_items += features.extracted_items
        return Labelled(features, images.label[features.kept])

    def train_dataloader(self) -> DataLoader[PairBatch]:
        pairs = self.splits["train"]
        views = self.raw["train"].x
        image = views.image if isinstance(views, Views) else torch.arange(pairs.n_x)
        assert pairs.label is not None
        # cut by image: the groups of class positives are the classes
        common = (self.batch_size, self.seed)
        sampler: Sampler[Tensor] = (
            BalancedBatches(image, pairs.label, *common) if self.batches == "balanced" else GroupBatches(image, *common)
        )
        return DataLoader(pairs, batch_size=None, sampler=sampler)  # type: ignore[arg-type]


def _firsts(values: Tensor) -> tuple[Tensor, Tensor]:
    """The sorted distinct ``values`` (n,), and the first place of each."""
    distinct, inverse = torch.unique(values, return_inverse=True)
    places = torch.full((len(distinct),), len(values))
    return distinct, places.scatter_reduce(0, inverse, torch.arange(len(values)), "amin")
