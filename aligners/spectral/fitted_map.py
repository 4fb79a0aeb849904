"""Fitting the feature maps of a spectral fit, at the kernel, landmarks and bandwidth given or best on validation."""

from dataclasses import replace

import torch
from torch import Tensor

from aligners.spectral.mapped import first_trial
from aligners.spectral.record import Record
from aligners.spectral.training import Training, raw_features
from aligners.spectral.trial import Trial
from datamodules.pairs.pairs import Pairs
from ground.distributed import rank_and_world


def fitted(training: Training, feature_map: str) -> tuple[Training, Record]:
    """``training`` with feature maps of a kind, fitted on training rows, the same in every process.

    Where there are several kernels, numbers of landmarks or bandwidths, each map is tried by the first solution on the
    contrasted items; the trials and the one in use are noted in the record.
    """
    settings, train = training.settings, training.train
    generator = torch.Generator().manual_seed(torch.initial_seed())  # the run's seed, in every process
    kernel_maps = settings.kernel_maps[:1] if feature_map == "identity" else settings.kernel_maps
    made = [raw_features(settings, *train.dims, feature_map, each) for each in kernel_maps]
    sizes = [each.sample_size(train.n_x, train.n_y) for each in made]
    x, y = sampled(train, max(sizes), generator, training.device)
    x, y, state = training.prepare_x(x), training.prepare_y(y), generator.get_state()
    tried: list[Trial] = []
    best = 0
    for features, size in zip(made, sizes, strict=True):
        generator.set_state(state)
        features.to(training.device).fit(x[:size], y[:size], generator, (train.n_x, train.n_y))
        if len(made) == 1:
            return replace(training, features=features), Record()
        tried.append(_sample_trial(replace(training, features=features)))
        if tried[-1].beats(tried[best]):
            best = len(tried) - 1
    told = [settings.told_of(each) for each in kernel_maps]
    trials = [each | {"recall": trial.recall} for each, trial in zip(told, tried, strict=True)]
    return replace(training, features=made[best]), Record().tried(trials, told[best])


def sampled(train: Pairs, size: int, generator: torch.Generator, device: torch.device) -> tuple[Tensor, Tensor]:
    """Training rows (k, d_x) and (l, d_y) for a feature map, at most ``size`` of each, not prepared.

    Drawn by index from the whole split: the same for any number of processes.
    """
    x, y = (
        rows[torch.randperm(int(rows.shape[0]), generator=generator)[:size]].to(device) for rows in (train.x, train.y)
    )
    return x, y


def _sample_trial(training: Training) -> Trial:
    """The first solution from a sample of training rows."""
    rows = training.sampled_rows()
    moments = training.moments(len(rows.x), len(rows.y))
    if rank_and_world()[0] == 0:  # every process has the sample
        moments.add(rows)
    return first_trial(training, moments)
