"""Spectral solutions as the start of trainable linear heads."""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from aligners.base.aligner import Aligner
from aligners.base.yaml_defaults import aligner_config
from aligners.spectral.coordinates import Projector
from aligners.spectral.first_pass import FirstPass
from aligners.spectral.moments import run_length
from aligners.spectral.passes import run
from aligners.spectral.record import Record
from aligners.spectral.settings import SpectralSettings
from aligners.spectral.training import Training, raw_features
from ground.distributed import add_over_processes, rank_and_world
from ground.errors import UserError


def check_warm_start(name: str, head: str, features: str) -> None:
    """Refuse what cannot start trainable heads.

    Raises:
        UserError: heads that are not linear, or on other than raw features.
    """
    if features != "raw":
        raise UserError(
            f"aligner.warm_start={name} is a solution on raw features, got aligner.features={features}: "
            "set aligner.features=raw or aligner.warm_start=null"
        )
    if head != "linear":
        raise UserError(
            f"aligner.warm_start={name} is a linear solution and starts linear heads, got aligner.head={head}: "
            "set aligner.head=linear or aligner.warm_start=null"
        )


def first_settings() -> dict[str, Any]:
    """The first value of each list among the solver's settings of ``configs/aligner/unicon.yaml``, by key."""
    known = [field.name for field in fields(SpectralSettings)]
    return {
        key: value[0] for key, value in aligner_config("unicon").items() if key in known and isinstance(value, list)
    }


def solver_settings(given: dict[str, Any]) -> SpectralSettings:
    """Those ``given``, and of the rest those of ``configs/aligner/unicon.yaml``, of each list the first."""
    values = aligner_config("unicon") | first_settings() | given
    return SpectralSettings(**{field.name: values[field.name] for field in fields(SpectralSettings)})


def spectral_solution(aligner: Aligner) -> Projector:
    """The linear solution of ``UniConSpectral`` on the training split of an ``aligner`` that is being fitted.

    The chain of passes runs inside the aligner's own fit, on the features as it prepares them, on the same device and
    processes: each process reads its batches, and the passes add over processes. The settings are those of
    ``configs/aligner/unicon.yaml`` with ``feature_map=identity``, the first of each list.

    Returns:
        what embeds: ``prepared @ P - offset``, for x and for y.

    Raises:
        UserError: what the solver refuses: features that do not vary, a rank above the data's.
    """
    given = {"feature_map": "identity", "rank": aligner.rank, "shared": bool(aligner.shared)}
    settings = solver_settings(given)
    pairs = aligner.train_pairs
    stream = aligner.stream.dealt_whole(run_length(pairs, len(aligner.stream)))
    stream.sampler.reshuffles = False
    features = raw_features(settings, *pairs.dims, "identity", settings.kernel_maps[0]).to(aligner.device)
    training = Training(
        settings, features, pairs, None, aligner.prepare_x, aligner.prepare_y, aligner.device, shows=False
    )
    with torch.no_grad():
        return run(FirstPass([training], [Record()], stream), stream).projector


def set_head(head: nn.Linear, projection: Tensor, offset: Tensor, scale: float) -> None:
    r"""Make ``head(scale * x)`` the embedding ``x @ projection - offset``, up to its length.

    The length is free under cosines. It is taken such that the weights have the size of torch's initialisation,
    :math:`1/\sqrt{3 d}`: a learning rate then means what it means for heads that start at random.

    Args:
        head: (d) to (r), with a bias; changed in place, to the same bits in every process.
        projection: (d, r).
        offset: (r,).
        scale: what rows are multiplied by before they enter the head.
    """
    gain = 1 / (projection.square().mean() * 3 * len(projection)).sqrt()
    with torch.no_grad():
        for parameter, value in ((head.weight, projection.T * gain), (head.bias, -offset * scale * gain)):
            parameter.copy_(value)
            if rank_and_world()[0] > 0:
                parameter.zero_()
            # the first process's: nothing later averages what differs between processes at the start
            add_over_processes(parameter)
