"""Annotations in JSON, read with little memory and checked."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ground.errors import UserError

KINDS = {str: "text", int: "an integer", list: "a list"}


def read_json(path: Path, slim: Callable[[dict[str, Any]], Any], what: str) -> dict[str, Any]:
    """The object in a JSON file, where ``slim`` replaces each object as soon as it is parsed.

    So what is not needed does not add up in memory: of Karpathy's files, the tokens are the larger part.

    Raises:
        UserError: the file cannot be read, or is no JSON object; ``what`` says what it should be.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            content = json.load(file, object_hook=slim)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}); it should be {what}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is no JSON ({error}): cut short? get it again: it should be {what}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not {what}: it holds a {type(content).__name__}")
    return content


def field(record: Any, key: str, kind: type, where: str, what: str) -> Any:
    """Value ``key`` of a record.

    Raises:
        UserError: it is not there or not of its ``kind``; ``where`` names the record, ``what`` its file's kind.
    """
    value = record.get(key) if isinstance(record, dict) else None
    if not (is_number(value) if kind is int else isinstance(value, kind)):
        got = "is missing" if value is None else f"is {value!r:.40}, not {KINDS[kind]}"
        raise UserError(f"{where}: '{key}' {got}; get the file again: it should be {what}")
    return value


def is_number(value: object) -> bool:
    """Whether it is an integer of 64 bits, as the numbers of images and captions are.

    Example:
        >>> is_number(7), is_number(True), is_number(2**63)
        (True, False, False)
    """
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
