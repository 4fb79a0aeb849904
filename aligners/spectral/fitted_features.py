"""Fitting the feature maps of a spectral fit, at the bandwidth that is given or best on validation."""

from dataclasses import replace

import torch

from aligners.features.maps import RawFeatures
from aligners.spectral.choice import Trial
from aligners.spectral.record import Solution
from aligners.spectral.spectral_data import SpectralData
from ground.distributed import rank_and_world


def fitted_features(data: SpectralData, solution: Solution) -> RawFeatures:
    """The feature maps of ``data`` fitted on training rows, the same in every process.

    Where there are several bandwidths, the trials and the one taken are noted in ``solution``.
    """
    settings, train, size = data.settings, data.train, data.features.sample_size
    generator = torch.Generator().manual_seed(torch.initial_seed())  # the run's seed, in every process
    # drawn by index from the whole split: the same landmarks for any number of processes
    x, y = (
        rows[torch.randperm(int(rows.shape[0]), generator=generator)[:size]].to(data.device)
        for rows in (train.x, train.y)
    )
    x, y, state = data.prepare_x(x), data.prepare_y(y), generator.get_state()
    best: tuple[Trial, float, RawFeatures] | None = None
    for bandwidth in settings.bandwidths:
        generator.set_state(state)
        features = settings.features(*train.dims, bandwidth).to(data.device)
        features.fit(x, y, generator)
        if len(settings.bandwidths) == 1:
            return features
        trial = _trial(replace(data, features=features))
        solution.trials.append({"bandwidth": bandwidth, "recall": trial.recall})
        if best is None or trial.beats(best[0]):
            best = trial, bandwidth, features
    assert best is not None
    _, solution.chosen["bandwidth"], features = best
    return features


def _trial(data: SpectralData) -> Trial:
    """The first solution of a sample of training rows."""
    rows = data.sample()
    moments = data.moments(len(rows.x), len(rows.y))
    if rank_and_world()[0] == 0:  # every process has the sample
        moments.add(rows)
    return data.trial(moments)
