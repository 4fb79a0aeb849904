"""The YAML files of ``configs/``, found beside the code and composed of their bases as Hydra does, without Hydra."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ground.errors import UserError, nearest

CONFIGS = Path(__file__).parents[1] / "configs"
"""The folder of this code: one of the same name beside a user's script is another."""
HERE = "@_here_"
SELF = "_self_"


def composed(path: Path, group: str) -> DictConfig:
    """The values of the YAML at ``path``, merged over the bases that its ``defaults`` list names.

    A base stands beside the YAML, or else in ``configs/GROUP``: a file of the user's own has the project's bases.
    Interpolations stay as they are.

    Raises:
        UserError: a file or a base that does not exist.

    Example:
        >>> composed(CONFIGS / "aligner" / "cca.yaml", "aligner").rank  # of its base
        128
    """
    if not path.is_file():
        raise UserError(f"unknown {group} '{path.stem}': {nearest(path.stem, _names(path.parent))}")
    config = OmegaConf.load(path)
    assert isinstance(config, DictConfig)
    bases = [str(each) for each in config.pop("defaults", [])]
    if SELF not in bases:
        bases.append(SELF)
    parts = [config if base == SELF else composed(_base(base, path, group), group) for base in bases]
    merged = OmegaConf.merge(*parts)
    assert isinstance(merged, DictConfig)
    return merged


def _base(name: str, path: Path, group: str) -> Path:
    file = f"{name.removesuffix(HERE)}.yaml"
    beside = path.parent / file
    return beside if beside.is_file() else CONFIGS / group / file


def _names(folder: Path) -> list[str]:
    return [path.stem for path in folder.glob("*.yaml")]
