"""What stands as code in README.md and docs/: fenced blocks, and commands in them and in the text."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PROGRAMS = ("python", "make", "torchrun", "srun", "pip")
NO_CODE = ("mermaid",)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SETTING = re.compile(r"^(?:[A-Z_]+=\S+ )+")
"""Environment variables before a command."""
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")


class Block(NamedTuple):
    """A fenced block: ``README.md 3`` is the page and the block's number on it."""

    name: str
    language: str
    text: str


def blocks() -> list[Block]:
    """All fenced blocks but drawings."""
    return [
        Block(f"{page.name} {number}", *found)
        for page in PAGES
        for number, found in enumerate(FENCE.findall(page.read_text(encoding="utf-8")))
        if found[0] not in NO_CODE
    ]


def is_commands(block: Block) -> bool:
    """Whether a block is for a shell: one without a language is, where its first line begins like a command."""
    first = SETTING.sub("", block.text).split(maxsplit=1)[0]
    return block.language in ("console", "bash", "sh") or (
        not block.language and (first in PROGRAMS or first.startswith("#!"))
    )


def commands() -> dict[str, list[str]]:
    """Every command, as it stands but for its comment, and its words."""
    lines = [line for block in blocks() if is_commands(block) for line in block.text.replace("\\\n", " ").splitlines()]
    for page in PAGES:
        lines += INLINE.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    found: dict[str, list[str]] = {}
    for line in (SETTING.sub("", line) for line in lines):
        # a name in a sentence, as `python` alone, is no command
        if line.split(maxsplit=1)[0] in PROGRAMS and len(line.split()) > 1:
            words = shlex.split(re.sub(r"\s#.*", "", line))
            found.setdefault(" ".join(words), words)
    return found
