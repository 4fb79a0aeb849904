"""Trees of image files with a folder for each class."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from datamodules.pairs.splits import SPELLED
from ground.errors import UserError

logger = logging.getLogger(__name__)

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")


@dataclass(frozen=True)
class Tree:
    """The image files of a tree.

    ``files`` has for each split, or for the one split ``all``, the files of each class, sorted; ``classes`` are the
    sorted names of the classes; ``ignored`` is the number of files that are hidden, no images, or in no class.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     for name in ("cat", "dog"):
        ...         Path(folder, name).mkdir()
        ...         Path(folder, name, "0.png").touch()
        ...     tree = scanned(Path(folder))
        >>> tree.classes, list(tree.files), tree.ignored
        (['cat', 'dog'], ['all'], 0)
    """

    files: dict[str, dict[str, list[Path]]]
    classes: list[str]
    ignored: int


def scanned(path: Path) -> Tree:
    """The tree in ``path``, or in its only folder: ``SPLIT/CLASS/**/IMAGE`` or ``CLASS/**/IMAGE``.

    Splits are spelled as ``SPELLED`` has them. Opens no file. A folder that links lead to twice, or into itself, is
    read once, where it lies or else where it is met first.

    Raises:
        UserError: no folder, no image, a split without train, or classes that differ between splits.
    """
    root = _root(path)
    below = _folders(root)
    split_folders = [folder for folder in below if folder.name.lower() in SPELLED]
    by_split: dict[str, Path] = {}
    for folder in split_folders:
        split = SPELLED[folder.name.lower()]
        if split in by_split:
            raise UserError(f"{root} has both {by_split[split].name} and {folder.name}: take one of them away")
        by_split[split] = folder
    if by_split and "train" not in by_split:
        raise UserError(f"{root} has {split_folders[0].name} but no train folder")
    ignored = _ignored_in(root)
    files: dict[str, dict[str, list[Path]]] = {}
    seen: set[Path] = set()
    for split, folder in (by_split or {"all": root}).items():
        files[split], of_split = _classes(folder, seen)
        ignored += of_split + (_ignored_in(folder) if by_split else 0)
        if not files[split]:
            raise UserError(f"{folder} has no class folder with images ({', '.join(SUFFIXES)})")
    reference = "train" if by_split else "all"
    classes = sorted(files[reference])
    for split, of_class in files.items():
        differing = sorted(set(classes) ^ set(of_class))
        if differing:
            lacks = split if differing[0] in classes else reference
            raise UserError(
                f"the classes of {reference} and {split} in {root} differ: {lacks} has no images of '{differing[0]}'"
            )
    if ignored:
        logger.info("%s: %d files are no images, hidden, or in no class, and are ignored", root, ignored)
    return Tree(files, classes, ignored)


def scanned_domains(path: Path) -> dict[str, Tree]:
    """The tree of each folder in ``path``, or in its only folder, by its name, sorted.

    Raises:
        UserError: fewer than two, one that is no tree, or classes that differ between them.
    """
    root = _root(path)
    folders = _folders(root)
    if len(folders) < 2:
        raise UserError(f"{root} has no two folders of domains, DOMAIN/CLASS/IMAGE: set datamodule.domains=false")
    trees = {folder.name: scanned(folder) for folder in folders}
    first, *others = trees
    for other in others:
        if differing := sorted(set(trees[first].classes) ^ set(trees[other].classes)):
            lacks = other if differing[0] in trees[first].classes else first
            raise UserError(f"the classes of the domains in {root} differ: {lacks} has no images of '{differing[0]}'")
    return trees


def _root(path: Path) -> Path:
    """``path``, or the folder below it that holds the tree, as in an unpacked archive."""
    if not path.is_dir():
        raise UserError(f"datamodule.path: no folder {path}; unpack the images there, or set another")
    below = _folders(path)
    while len(below) == 1 and below[0].name.lower() not in SPELLED and _folders(below[0]):
        path = below[0]
        below = _folders(path)
    return path


def _classes(folder: Path, seen: set[Path]) -> tuple[dict[str, list[Path]], int]:
    """The images of each class folder that has any, and the number of other files.

    ``seen`` are the real folders read so far, in other splits too: none is read again.
    """
    files, ignored = {}, 0
    below = _folders(folder)
    lie_here = {each.resolve() for each in below if not each.is_symlink()}
    for of_class in below:
        images = []
        for place, inside, names in os.walk(of_class, followlinks=True):
            real = Path(place).resolve()
            # a link out of the class, to what holds it or to another class, leads to nothing of this class
            outside = real in lie_here or real in of_class.resolve().parents
            if real in seen or (outside and real != of_class.resolve()):
                inside.clear()
                continue
            seen.add(real)
            hidden = any(map(_hidden, Path(place).relative_to(of_class).parts))
            for name in names:
                if hidden or _hidden(name) or not name.lower().endswith(SUFFIXES):
                    ignored += 1
                else:
                    images.append(Path(place, name))
        if images:
            files[of_class.name] = sorted(images)
    return files, ignored


def _folders(path: Path) -> list[Path]:
    return sorted(each for each in path.iterdir() if each.is_dir() and not _hidden(each.name))


def _ignored_in(path: Path) -> int:
    """The number of files of ``path`` itself and of its hidden folders."""
    hidden = (each for each in path.iterdir() if each.is_dir() and _hidden(each.name))
    return sum(not each.is_dir() for each in path.iterdir()) + sum(
        not each.is_dir() for folder in hidden for each in folder.rglob("*")
    )


def _hidden(name: str) -> bool:
    return name.startswith(".") or name == "__MACOSX"
