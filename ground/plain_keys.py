"""The command line of a command that composes nothing: ``key=value`` over the keys of one YAML, and words."""

from typing import Any, get_args

import yaml

from ground.annotations import problem
from ground.configs import CONFIGS
from ground.errors import UserError, nearest
from ground.home import at_home

NULL = "null"


def plain_keys(name: str, declared: dict[str, Any], arguments: list[str]) -> tuple[dict[str, Any], list[str]]:
    """The values of ``configs/NAME.yaml`` under the arguments, and the arguments that are no ``key=value``.

    ``declared`` has the annotation of each key. A value that may be a text is taken as it is written, ``null`` apart;
    of any other its YAML is read. ``--key`` sets a key that is true or false.

    Raises:
        UserError: an unknown key, one that is given twice, or a value of a wrong type.

    Example:
        >>> values, words = plain_keys("search", {"run": str | None, "top": int}, ["run=a: b", "top=3", "an apple"])
        >>> values["run"], values["top"], words
        ('a: b', 3, ['an apple'])
    """
    values: dict[str, Any] = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    words: list[str] = []
    given: set[str] = set()
    for each in arguments:
        key, sign, text = each.partition("=")
        if each.startswith("--"):
            key, sign, text = each[2:], "=", "true"
        if not (sign and key.isidentifier()):
            words.append(each)
            continue
        if key not in values:
            raise UserError(f"unknown key '{key}' in '{each}': {nearest(key, values)}")
        if key in given:
            raise UserError(f"{key} is given twice")
        given.add(key)
        values[key] = _value(key, text, declared[key])
    return values, words


def _value(key: str, text: str, hint: Any) -> Any:
    value: Any = at_home(text)
    if text == NULL:
        value = None
    elif str not in (hint, *get_args(hint)):
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise UserError(f"cannot read {key}={text}: {' '.join(str(error).split())}") from error
    line = problem(key, value, hint)
    if line is not None:
        raise UserError(line)
    return value
