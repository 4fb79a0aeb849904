"""Hybrid: adapters trained by gradient, heads solved spectrally on what the adapters make of the features."""

from typing import Annotated, Any

import torch
from torch import Tensor, nn

from aligners.base.of_cosines import OfCosines
from aligners.base.rank_bound import RankBound, groups_bound
from aligners.base.trained import linear_step
from aligners.base.warm_start import set_head
from aligners.base.yaml_defaults import aligner_config, defaults_from
from aligners.features.steps import Step
from aligners.spectral.coordinates import Coordinates, Statistics, statistics, uniform_solution
from aligners.spectral.factors import Factors
from aligners.spectral.moment_pass import MomentPass
from aligners.spectral.moments import Moments, run_length
from aligners.spectral.negatives import AllPairs
from aligners.spectral.passes import Pass, Solved, after, run
from aligners.spectral.record import Record
from aligners.spectral.rows import RowSource, StreamedRows
from aligners.spectral.step import Damping, Rule
from datamodules.pairs.pairs import PairBatch, Pairs
from ground.errors import UserError
from ground.ranges import Count, Natural, NonNegative, above, at_most


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

    def step(self) -> Step:
        """What ``forward`` does."""
        layers = {"A": self.hidden.weight.T, "a": self.hidden.bias, "B": self.out.weight.T, "b": self.out.bias}
        return Step("adapter", layers)


@defaults_from("hybrid")
class Hybrid(OfCosines):
    r"""Evolving inputs (UniCon, section 5): gradient steps on adapters alternate with spectral updates of heads.

    .. math:: f(x) = (a(x) - \mu_x) W_x U s^p, \quad U s V^T = W_x^T \Sigma_{xy} W_y

    with an ``Adapter`` a, and :math:`\mu, \Sigma, W` the means, covariances and whitenings of the adapted training
    features: regularised CCA of them. It is solved before the first epoch and after every ``spectral_every``
    epochs, before their validation; in between the adapters and the temperature learn on CLIP's loss under
    heads that stay. As the adapters start as the identity, it starts as CCA of the features.

    With ``passes`` the heads go on from where they are, Z in the whitened coordinates of the features as they are
    adapted now: each pass is a damped step at CLIP's weights S at the current similarities and temperature, over all
    training pairs, halved until the objective does not rise (see ``aligners.spectral``). Without, it is CCA each
    time, the solution at uniform weights.

    Raises:
        UserError: ``spectral_every`` below 1, passes at ``weight_power`` 0, adapted features that do not vary, or a
            rank above the data's.

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
        passes: Natural,
        eta: Annotated[float, above(0), at_most(1)],
        tolerance: NonNegative,
        max_halvings: Natural,
        block_size: Count,
        **common: Any,
    ):
        raw = aligner_config("base/features")  # the adapters are this aligner's features
        super().__init__(
            objective="clip", objective_options={}, head="linear", shared=False, warm_start=None, **raw, **common
        )  # fmt: skip
        if passes and not weight_power:
            raise UserError(
                "aligner.weight_power=0 leaves no weights in the heads, which passes go on from: "
                "take one above 0, or aligner.passes=0"
            )
        self.lam = lam
        self.weight_power = weight_power
        self.spectral_every = spectral_every
        self.passes = passes
        self.damping = Damping(eta, safeguard=True, max_halvings=max_halvings, tolerance=tolerance)
        self.block_size = block_size

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

    def embedding_steps(self, side: str) -> list[Step]:
        adapter, head = (self.adapter_x, self.head_x) if side == "x" else (self.adapter_y, self.head_y)
        return [*self.scaled_steps(side), adapter.step(), linear_step(head)]

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.current_epoch == 0:  # a resumed fit has its heads
            self.solve_heads(first=True)

    def on_train_batch_end(self, outputs: Any, batch: PairBatch, batch_idx: int) -> None:
        super().on_train_batch_end(outputs, batch, batch_idx)
        if self.trainer.is_last_batch and (self.current_epoch + 1) % self.spectral_every == 0:
            self.solve_heads(first=False)

    @torch.no_grad()
    def solve_heads(self, first: bool) -> None:
        """Solve on the adapted training features of all processes, from the uniform weights or the current heads."""
        pairs = self.train_pairs
        block = run_length(pairs, len(self.stream))
        stream = self.stream.dealt_whole(block)
        stream.sampler.reshuffles = False  # every pass has the same blocks
        moments = Moments(*pairs.dims, pairs.n_x, pairs.n_y, self.device, batches_in_block=block)
        rows = StreamedRows(self.adapted, stream)
        begin = MomentPass(moments, self.adapted, lambda sums: self.begun(statistics(sums), rows, first))
        solved = run(begin, stream).projector
        set_head(self.head_x, solved.P_x, solved.offset_x, scale=1.0)
        set_head(self.head_y, solved.P_y, solved.offset_y, scale=1.0)

    def adapted(self, batch: PairBatch) -> PairBatch:
        """A batch of features to the same batch of adapted ones."""
        return batch._replace(x=self.adapt_x(self.prepare_x(batch.x)), y=self.adapt_y(self.prepare_y(batch.y)))

    def begun(self, statistics: Statistics, rows: RowSource, first: bool) -> tuple[Solved, Pass | None]:
        """The solution for the uniform weights, or the place of the current heads; and the pass that goes on from it.

        Raises:
            UserError: a covariance that is singular at ``lam``, or a rank above the data's.
        """
        coordinates = statistics.coordinates(self.lam)
        if first or not self.passes:
            factors = uniform_solution(statistics.cross, coordinates.W_x, coordinates.W_y, self.rank)
        else:
            factors = self.current(coordinates)
        if not self.passes:
            return Solved(coordinates.embedding(factors, self.weight_power), factors), None
        rule = Rule(self.fitted_objective, self.weight_power, self.damping, self.block_size, "tangent", exact=False)
        groups = self.train_pairs.group.to(self.device), self.train_pairs.y_group.to(self.device)
        negatives = AllPairs(rule, coordinates, rows, *groups)
        return after(negatives, negatives.at(factors), Record(), self.passes)

    def current(self, coordinates: Coordinates) -> Factors:
        r"""Z of the current heads H (r, d) in these coordinates, of length 1.

        :math:`U s^{2p} V^T = W_x^{-1} H_x^T H_y W_y^{-T}`: in the coordinates that the heads were solved in, theirs.
        """
        Q_x, R_x = torch.linalg.qr(coordinates.W_x.undone(self.head_x.weight.T.double()))
        Q_y, R_y = torch.linalg.qr(coordinates.W_y.undone(self.head_y.weight.T.double()))
        u, powers, vt = torch.linalg.svd(R_x @ R_y.T)
        s = powers ** (0.5 / self.weight_power)
        return Factors(Q_x @ u, s / s.norm(), Q_y @ vt.T, gap=float("inf"))
