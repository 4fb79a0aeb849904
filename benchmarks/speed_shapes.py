"""The data of ``benchmarks.speed``: two of real features, whose files are given, and two that are made."""

import dataclasses
from pathlib import Path

from hydra.utils import instantiate

from benchmarks.features_file import Shape, features_file
from benchmarks.latent import LatentFactors
from benchmarks.runs import composed
from datamodules.pairs.pairs import Pairs
from ground.errors import UserError
from running.compose import quoted

MODEL = LatentFactors(
    d_x=2048, d_y=768, shared=256, private=512, decay=1.0, nuisance=2.0, caption_noise=6.0, white=4.0, seed=0
)
SHAPE = Shape(train=29_000, val=1_000, test=1_000, captions=5)
MSCOCO_SHAPE = Shape(train=113_287, val=1_000, test=1_000, captions=5)
"""The images that Karpathy's split trains on."""
QUICK_MODEL = dataclasses.replace(MODEL, d_x=48, d_y=32, shared=16, private=16, caption_noise=1.0, white=1.0)
QUICK_SHAPE = Shape(train=200, val=40, test=40, captions=2)
QUICK_MSCOCO_SHAPE = dataclasses.replace(QUICK_SHAPE, train=300)

REAL = ("clipart", "flickr8k")
FLICKR30K = "flickr30k"
MSCOCO = "mscoco"
NAMES = (*REAL, FLICKR30K, MSCOCO)


@dataclasses.dataclass(frozen=True)
class Data:
    """A features file; ``shape`` where its features are made."""

    file: Path
    shape: Shape | None
    train: Pairs


def chosen(shapes: list[str] | None, files: dict[str, Path | None]) -> tuple[list[str], list[str]]:
    """The names of the data that are measured, and a line for each that is left out.

    Raises:
        UserError: one is asked for whose file is not given, or a file is given that is not there.
    """
    for name, file in files.items():
        if file is None and name in (shapes or ()):
            raise UserError(f"--shapes {name} needs its features: give --{name} a safetensors file with x and y")
        if file is not None and not file.is_file():
            raise UserError(f"no features file at {file}: give --{name} a safetensors file with x and y")
    if shapes is not None:
        return list(dict.fromkeys(shapes)), []
    notes = [f"{name} is left out: --{name} FILE gives its features" for name, file in files.items() if file is None]
    notes.append(f"{MSCOCO} is left out, it takes long: --shapes {MSCOCO} measures it")
    return [*(name for name, file in files.items() if file is not None), FLICKR30K], notes


def data(name: str, file: Path | None, quick: bool) -> Data:
    """The data of this name, its features made where they are not there.

    Raises:
        UserError: a file that cannot be read or written.
    """
    shape = None
    if file is None:
        whole, tiny = (SHAPE, QUICK_SHAPE) if name == FLICKR30K else (MSCOCO_SHAPE, QUICK_MSCOCO_SHAPE)
        shape = tiny if quick else whole
        file = features_file(QUICK_MODEL if quick else MODEL, shape)
    # any aligner: of the config the datamodule alone is built
    of_file = composed("cca", name, ["datamodule=features", f"datamodule.path={quoted(str(file.resolve()))}"])
    datamodule = instantiate(of_file.datamodule)
    datamodule.setup()
    return Data(file.resolve(), shape, datamodule.splits["train"])


def title(name: str, of: Data) -> str:
    d_x, d_y = of.train.dims
    made = "" if of.shape is None else ", made"
    return f"{name}: {of.train.n_x:,} images ({d_x}-d) with {of.train.n_y:,} captions ({d_y}-d){made}"
