"""The experiments of docs/geometry.md: ``python -m benchmarks.geometry``.

Runs each, prints its table as Markdown, and draws its figures into ``docs/figures``. Settings are those of
``configs/geometry.yaml``; ``KEY=VALUE`` before ``--only``, as ``batches.repeats=4``, replaces one.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from omegaconf import OmegaConf

from benchmarks.geometry import tables
from benchmarks.geometry.aligners import geometries
from benchmarks.geometry.batches import batch_errors
from benchmarks.geometry.equilibrium import equilibria
from benchmarks.geometry.figures import densities_of_particles, error_lines, over_spread
from benchmarks.geometry.mismatch import mismatches
from benchmarks.record import Parser, Record, command
from ground.configs import CONFIGS
from ground.errors import UserError, nearest
from ground.progress import progress_bar

FIGURES = Path("docs/figures")
QUICK = (
    "batches.pairs=256", "batches.sizes=[32,64,128]", "batches.repeats=2", "equilibrium.particles=60",
    "equilibrium.steps=50", "equilibrium.kappas=[10]", "equilibrium.draws=2", "mismatch.spreads=[0.0,1.0]",
    "mismatch.steps=5", "mismatch.items=60", "mismatch.seeds=[0]", "aligners.rows={cca: [cca, aligner.rank=8]}",
    "aligners.data=[datamodule=synthetic,datamodule.n_train=60,datamodule.n_val=20,datamodule.n_test=20]",
)  # fmt: skip
Drawn = tuple[Any, str, dict[str, Figure]]


def _batches(**settings: Any) -> Drawn:
    found = batch_errors(**settings)
    return [each._asdict() for each in found], tables.errors(found), {"geometry_batches": error_lines(found)}


def _equilibrium(**settings: Any) -> Drawn:
    found = equilibria(**settings)
    figures = {
        f"geometry_equilibrium_{d}d": densities_of_particles([each for each in found if each.dimension == d])
        for d in dict.fromkeys(each.dimension for each in found)
    }
    record = [each._asdict() | {"histogram": each.histogram.tolist(), "gibbs": each.gibbs.tolist()} for each in found]
    return record, tables.equilibria(found), figures


def _mismatch(**settings: Any) -> Drawn:
    found = mismatches(**settings)
    return [each._asdict() for each in found], tables.mismatches(found), {"geometry_mismatch": over_spread(found)}


def _aligners(**settings: Any) -> Drawn:
    found = geometries(**settings)
    return found, tables.geometries(found), {}


EXPERIMENTS: dict[str, Callable[..., Drawn]] = {
    "batches": _batches, "equilibrium": _equilibrium, "mismatch": _mismatch, "aligners": _aligners,
}  # fmt: skip


def settings_of(words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The sections of ``configs/geometry.yaml`` under the words ``key=value``; a dict replaces the one that is there.

    Raises:
        UserError: a word that is none, or an unknown key.
    """
    config = OmegaConf.load(CONFIGS / "geometry.yaml")
    for word in words:
        key, sign, _ = word.partition("=")
        if not sign or OmegaConf.select(config, key) is None or "." not in key:
            sections: Any = OmegaConf.to_container(config)
            known = [f"{section}.{name}" for section, keys in sections.items() for name in keys]
            raise UserError(f"unknown key '{key}' in '{word}': {nearest(key, known)}")
        OmegaConf.update(config, key, OmegaConf.select(OmegaConf.from_dotlist([word]), key), merge=False)
    settings: Any = OmegaConf.to_container(config)
    return settings  # type: ignore[no-any-return]


def main(argv: Sequence[str]) -> None:
    parser = Parser("python -m benchmarks.geometry", description=__doc__)
    names = list(EXPERIMENTS)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that it runs, and no more")
    parser.add_argument("settings", nargs="*", default=[], metavar="KEY=VALUE", help="keys of configs/geometry.yaml")
    arguments = parser.parse_args(argv)
    settings = settings_of([*(QUICK if arguments.quick else ()), *arguments.settings])
    torch.set_num_threads(1)
    record = Record("geometry", vars(arguments) | {"of": settings})
    results = {}
    with progress_bar("experiments", len(arguments.only), 0, visible=True) as advance:
        for name in arguments.only:
            results[name], table, figures = EXPERIMENTS[name](**settings[name])
            record.save(results=results)
            print(f"## {name}\n\n{table}\n")
            FIGURES.mkdir(parents=True, exist_ok=True)
            for file, figure in figures.items():
                figure.savefig(FIGURES / f"{file}.png")
            advance(1)
    record.show()


if __name__ == "__main__":
    command(main)
