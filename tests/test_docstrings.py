"""The examples in docstrings, as they are run; which classes have one; how docstrings begin."""

import ast
import doctest
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = (
    "aligners", "backbones", "benchmarks", "datamodules", "evaluation", "ground", "report", "running", "tools",
)  # fmt: skip
FILES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
WITH_EXAMPLES = [file for file in FILES if ">>> " in file.read_text(encoding="utf-8")]
ROOMS = sorted(
    ".".join(file.parent.relative_to(ROOT).parts)
    for package in ("aligners", "backbones", "datamodules", "evaluation", "ground", "report", "running")
    for file in (ROOT / package).rglob("__init__.py")
)
WITHOUT_EXAMPLE = {
    "CaptionedDataModule": "abstract: its children have examples",
    "ExtractedDataModule": "abstract: its children have examples",
    "ImageViewsDataModule": "abstract: its children have examples",
}


@pytest.mark.parametrize("file", WITH_EXAMPLES, ids=lambda file: str(file.relative_to(ROOT)))
def test_examples_hold(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = import_module(".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"))
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    assert tried > 0
    assert failed == 0  # what was expected and what was got is in the output
    assert not any(tmp_path.iterdir())


def exported(room: str) -> dict[str, type]:
    """The classes that a room exports, by name."""
    module = import_module(room)
    values = {name: getattr(module, name) for name in getattr(module, "__all__", ())}
    return {name: value for name, value in values.items() if isinstance(value, type)}


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_takes_the_place_of_what_its_room_exports(room: str) -> None:
    for file in (ROOT / room.replace(".", "/")).glob("[!_]*.py"):
        import_module(f"{room}.{file.stem}")  # from now on a name of the room, whatever the room exports under it
    module = import_module(room)
    assert [name for name in getattr(module, "__all__", ()) if isinstance(getattr(module, name), ModuleType)] == []


@pytest.mark.parametrize("room", ROOMS)
def test_every_class_that_a_room_exports_has_an_example(room: str) -> None:
    without = {name for name, kind in exported(room).items() if ">>> " not in (kind.__doc__ or "")}
    assert without <= set(WITHOUT_EXAMPLE)


def test_classes_without_an_example_are_known() -> None:
    classes = {name: kind for room in ROOMS for name, kind in exported(room).items()}
    assert len(classes) > 100  # the rooms are looked into
    assert {name for name, kind in classes.items() if ">>> " not in (kind.__doc__ or "")} == set(WITHOUT_EXAMPLE)


def docstrings(file: Path) -> Iterator[str]:
    """The docstrings of a module, of its classes and functions, and of its values."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value.value


def test_docstrings_begin_with_a_word_of_their_own() -> None:
    texts = [(file, text) for file in FILES for text in docstrings(file)]
    assert len(texts) > 1000
    assert [(str(file), text) for file, text in texts if text.split()[0].rstrip(":").lower() == "of"] == []
