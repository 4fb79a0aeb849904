"""Hybrid: adapters trained by gradient, heads solved spectrally on what the adapters make of the features."""

from typing import Any

import torch
from torch import Tensor, nn

from aligners.base.of_cosines import OfCosines
from aligners.base.rank_bound import RankBound, groups_bound
from aligners.base.warm_start import set_head
from aligners.base.yaml_defaults import aligner_config, defaults_from
from aligners.spectral.coordinates import Statistics, statistics, uniform_solution
from aligners.spectral.moment_pass import MomentPass
from aligners.spectral.moments import Moments, run_length
from aligners.spectral.passes import Solved, run
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.ranges import Count, NonNegative


class Adapter(nn.Module):
    """The residual layer ``x + B gelu(A x)``, (n, d) to (n, d); B is zero at the start, and the layer the identity."""

    def __init__(self, d: int, hidden: int):
        super().__init__()
        self.hidden = nn.Linear(d, hidden)
        self.out = nn.Linear(hidden, d)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.out(nn.functional.gelu(self.hidden(x)))
        return x + change


@defaults_from("hybrid")
class Hybrid(OfCosines):
    r"""Evolving inputs (UniCon, section 5): gradient steps on adapters alternate with spectral updates of heads.

    .. math:: f(x) = (a(x) - \mu_x) W_x U s^p, \quad U s V^T = W_x^T \Sigma_{xy} W_y

    with an ``Adapter`` a, and :math:`\mu, \Sigma, W` the means, covariances and whitenings of the adapted training
    features: regularised CCA of them. It is solved before the first epoch and after every ``spectral_every``
    epochs, before their validation; in between the adapters and the temperature learn on CLIP's loss under
    heads that stay. As the adapters start as the identity, it starts as CCA of the features.

    Raises:
        UserError: ``spectral_every`` below 1, adapted features that do not vary, or a rank above the data's.

    Example:
        >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
        >>> aligner = Hybrid(rank=4, hidden=16).fit(x, x.flip(1), max_epochs=2)
        >>> aligner.adapter_x.hidden.out_features, aligner.head_x.out_features
        (16, 4)
    """

    head_x: nn.Linear
    head_y: nn.Linear

    def __init__(
        self,
        *,
        lam: NonNegative,
        weight_power: NonNegative,
        spectral_every: Count,
        **common: Any,
    ):
        raw = aligner_config("base/features")  # the adapters are this aligner's features
        super().__init__(
            objective="clip", objective_options={}, head="linear", shared=False, warm_start=None, **raw, **common
        )  # fmt: skip
        self.lam = lam
        self.weight_power = weight_power
        self.spectral_every = spectral_every

    def build(self, d_x: int, d_y: int) -> None:
        self.adapter_x, self.adapter_y = Adapter(d_x, self.hidden), Adapter(d_y, self.hidden)
        # solved, not trained
        self.head_x = nn.Linear(d_x, self.rank).requires_grad_(False)
        self.head_y = nn.Linear(d_y, self.rank).requires_grad_(False)

    def rank_bound(self, train: Pairs) -> RankBound:
        return groups_bound(train.dims, train, less=1)  # adapted features have the dimensions of the features

    def adapt_x(self, x: Tensor) -> Tensor:
        """Prepared features (n, d_x) to adapted ones (n, d_x) float32."""
        adapted: Tensor = self.adapter_x(self.scaled(x))
        return adapted

    def adapt_y(self, y: Tensor) -> Tensor:
        """Prepared features (n, d_y) to adapted ones (n, d_y) float32."""
        adapted: Tensor = self.adapter_y(self.scaled(y))
        return adapted

    def embed_x(self, x: Tensor) -> Tensor:
        embedding: Tensor = self.head_x(self.adapt_x(x))
        return embedding

    def embed_y(self, y: Tensor) -> Tensor:
        embedding: Tensor = self.head_y(self.adapt_y(y))
        return embedding

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.current_epoch == 0:  # a resumed fit has its heads
            self.solve_heads()

    def on_train_batch_end(self, outputs: Any, batch: PairBatch, batch_idx: int) -> None:
        super().on_train_batch_end(outputs, batch, batch_idx)
        if self.trainer.is_last_batch and (self.current_epoch + 1) % self.spectral_every == 0:
            self.solve_heads()

    @torch.no_grad()
    def solve_heads(self) -> None:
        """Regularised CCA of the adapted training features of all processes, from one pass."""
        pairs = self.train_pairs
        block = run_length(pairs, len(self.stream))
        moments = Moments(*pairs.dims, pairs.n_x, pairs.n_y, self.device, batches_in_block=block)
        first = MomentPass(moments, self.adapted, lambda moments: self.solution(statistics(moments)))
        solved = run(first, self.stream.dealt_whole(block)).projector
        set_head(self.head_x, solved.P_x, solved.offset_x, scale=1.0)
        set_head(self.head_y, solved.P_y, solved.offset_y, scale=1.0)

    def adapted(self, batch: PairBatch) -> PairBatch:
        """A batch of features to the same batch of adapted ones."""
        return batch._replace(x=self.adapt_x(self.prepare_x(batch.x)), y=self.adapt_y(self.prepare_y(batch.y)))

    def solution(self, statistics: Statistics) -> Solved:
        """The solution for the uniform weights.

        Raises:
            UserError: a covariance that is singular at ``lam``, or a rank above the data's.
        """
        coordinates = statistics.coordinates(self.lam)
        factors = uniform_solution(statistics.cross, coordinates.W_x, coordinates.W_y, self.rank)
        return Solved(coordinates.embedding(factors, self.weight_power), factors)
