"""UniConSpectral: the spectral solver as a training step without gradients."""

import torch
from torch import Tensor

from aligners import spectral
from aligners.aligner import GradientFreeAligner
from aligners.contrast import Contrast
from aligners.defaults import defaults_from
from aligners.feature_maps import Identity, Nystrom
from aligners.kernels import KERNELS
from aligners.objectives import smooth_objective
from datamodules.pairs import PairBatch
from distributed import add_over_processes, gather_rows, rank_and_world
from errors import UserError, nearest

FEATURE_MAPS = ("identity", "nystrom")


@defaults_from("unicon")
class UniConSpectral(GradientFreeAligner):
    """Spectral contrastive alignment (UniCon; Sui, Wang, Do, ICLR 2026), whitened, damped and safeguarded.

    The first pass over the data collects moments and solves for the uniform weights; each further pass takes
    one damped step with the weights of the objective over all training pairs, halved until the objective does
    not rise. ``aligners.spectral`` has the mathematics, ``configs/aligner/unicon.yaml`` the defaults and the
    meaning of each argument.

    Raises:
        UserError: an argument out of range, features that do not vary, or a rank above the data's.
    """

    projection_x: Tensor
    projection_y: Tensor
    offset_x: Tensor
    offset_y: Tensor
    singular_values: Tensor

    def __init__(
        self,
        *,
        rank: int,
        unit: bool,
        feature_map: str,
        kernel: str,
        landmarks: int,
        landmark_ridge: float,
        whiten: bool,
        lam: float,
        objective: str,
        tau: float,
        eta: float,
        safeguard: bool,
        passes: int,
        tolerance: float,
        max_halvings: int,
        weight_power: float,
        block_size: int,
    ):
        super().__init__(rank, unit)
        for name, choice, known in (("feature_map", feature_map, FEATURE_MAPS), ("kernel", kernel, KERNELS)):
            if choice not in known:
                raise UserError(f"unknown aligner.{name} '{choice}': {nearest(choice, known)}")
        if feature_map == "nystrom" and landmarks < 1:
            raise UserError(f"aligner.landmarks must be at least 1, got {landmarks}")
        if passes < 0:
            raise UserError(f"aligner.passes must be at least 0, got {passes}")
        if whiten and not lam >= 0:
            raise UserError(f"aligner.lam must be at least 0, got {lam}")
        if not 0 < eta <= 1:
            raise UserError(f"aligner.eta must be in (0, 1], got {eta}")
        self.feature_map = feature_map
        self.kernel = kernel
        self.landmarks = landmarks
        self.landmark_ridge = landmark_ridge
        self.whiten = whiten
        self.lam = lam
        self.objective = smooth_objective(objective, tau)
        self.eta = eta
        self.safeguard = safeguard
        self.passes = passes
        self.tolerance = tolerance
        self.max_halvings = max_halvings
        self.weight_power = weight_power
        self.block_size = block_size

    def build(self, d_x: int, d_y: int) -> None:
        self.map_x, self.map_y = self._feature_map(d_x), self._feature_map(d_y)
        for name, d in (("x", d_x), ("y", d_y)):
            # embeddings are raw(x) @ projection - offset: feature map, whitening, rotation and weights in one
            self.register_buffer(f"projection_{name}", torch.zeros(d, self.rank, dtype=torch.float64))
            self.register_buffer(f"offset_{name}", torch.zeros(self.rank, dtype=torch.float64))
        self.register_buffer("singular_values", torch.zeros(self.rank, dtype=torch.float64))

    def _feature_map(self, d: int) -> Identity | Nystrom:
        if self.feature_map == "identity":
            return Identity(d)
        return Nystrom(self.kernel, d, self.landmark_ridge)

    def embed_x(self, x: Tensor) -> Tensor:
        return self.map_x.raw(x) @ self.projection_x - self.offset_x

    def embed_y(self, y: Tensor) -> Tensor:
        return self.map_y.raw(y) @ self.projection_y - self.offset_y

    def on_train_start(self) -> None:
        super().on_train_start()
        if self.current_epoch > 0:
            raise UserError("a spectral fit cannot be resumed between passes: start it again without a checkpoint")
        pairs = self.train_pairs
        generator = torch.Generator().manual_seed(torch.initial_seed())  # the run's seed, in every process
        for feature_map, rows, prepare in (
            (self.map_x, pairs.x, self.prepare_x),
            (self.map_y, pairs.y, self.prepare_y),
        ):
            if isinstance(feature_map, Nystrom):
                # drawn by index from the whole split: the same landmarks for any number of processes
                chosen = torch.randperm(int(rows.shape[0]), generator=generator)[: self.landmarks].sort().values
                feature_map.fit(prepare(rows[chosen].to(self.device)))
        rank, world = rank_and_world()
        self.contrast = Contrast(
            self.objective,
            pairs.group.to(self.device),
            pairs.y_group.to(self.device),
            self.block_size,
            rank,
            world,
        )
        self.moments = spectral.Moments(self.map_x.dim, self.map_y.dim, pairs.n_x, pairs.n_y, self.device)
        self.history: list[dict[str, float]] = []

    def collect(self, batch: PairBatch) -> None:
        x, y = self.prepare_x(batch.x), self.prepare_y(batch.y)
        if self.current_epoch == 0:
            self.moments.add(self.map_x(x), self.map_y(y), batch.positives)
        else:
            self.pulled_x.addmm_(self.map_x.raw(x).T, self.SB[batch.x_index])
            self.pulled_y.addmm_(self.map_y.raw(y).T, self.StA[batch.y_index])

    def solve(self) -> bool:
        moved = self._start() if self.current_epoch == 0 else self._step()
        self._log_pass()
        finished = not moved or self.current_epoch >= self.passes
        if not finished:
            self._pull()
        return finished

    def _start(self) -> bool:
        """The solution for the uniform weights, from the moments of all processes."""
        moments = self.moments
        add_over_processes(*moments.tensors())
        if self.whiten:
            self.W_x, self.W_y = spectral.whitenings(moments, self.lam)
        else:
            self.W_x, self.W_y = spectral.identities(moments)
        factors = spectral.uniform_solution(moments, self.W_x, self.W_y, self.rank)
        self.phi_mean_x, self.phi_mean_y = moments.mean_x, moments.mean_y
        del self.moments
        self._set(factors)
        if self.passes:
            A, B = self._project_all(factors.U, factors.V)
            self.A, self.B = A, B
            self.value = self._value(factors.s, A, B)
        self.step_length = 0.0
        return True

    def _step(self) -> bool:
        """One damped step on the objective, halved until it does not rise. False when it cannot fall."""
        add_over_processes(self.pulled_x, self.pulled_y)
        step = spectral.tangent_step(
            self.factors,
            self._whitened(self.map_x, self.pulled_x, self.phi_mean_x, self.SB, self.W_x),
            self._whitened(self.map_y, self.pulled_y, self.phi_mean_y, self.StA, self.W_y),
        )
        # the projections on all directions of the plane: trial steps need no further stream
        beside = self._project_all(step.Q_x, step.Q_y)
        A, B = torch.cat([self.A, beside[0]], 1), torch.cat([self.B, beside[1]], 1)
        eta = self.eta
        for _ in range(self.max_halvings + 1):
            u, s, v, gap = step.take(self.factors.s, eta)
            value = self._value(s, A @ u, B @ v)
            if value <= self.value or not self.safeguard:
                break
            eta /= 2
        else:
            self.step_length = 0.0
            return False
        fell = self.value - value
        self._set(spectral.rotated(self.factors, step, u, s, v, gap))
        self.A, self.B, self.value, self.step_length = A @ u, B @ v, value, eta
        return not self.safeguard or fell > self.tolerance * abs(value)

    def _pull(self) -> None:
        """``S B`` and ``S^T A`` at the current similarities, for the next pass to meet the features with."""
        SB, StA = self.contrast.pull(*self._weighted(self.factors.s, self.A, self.B), self.A, self.B)
        add_over_processes(SB, StA)
        self.SB, self.StA = SB, StA
        self.pulled_x = torch.zeros(self.map_x.dim, self.rank, dtype=torch.float64, device=self.device)
        self.pulled_y = torch.zeros(self.map_y.dim, self.rank, dtype=torch.float64, device=self.device)

    @staticmethod
    def _whitened(feature_map: Identity | Nystrom, pulled: Tensor, mean: Tensor, H: Tensor, W: Tensor) -> Tensor:
        """``Psi^T H`` (m, r) from ``raw^T H``."""
        return W.T @ (feature_map.root_transposed(pulled) - torch.outer(mean, H.sum(0)))

    def _weighted(self, s: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        return A * s**self.weight_power, B * s**self.weight_power

    def _value(self, s: Tensor, A: Tensor, B: Tensor) -> float:
        value = self.contrast.value(*self._weighted(s, A, B))
        add_over_processes(value)
        return float(value)

    def _project_all(self, directions_x: Tensor, directions_y: Tensor) -> tuple[Tensor, Tensor]:
        """``Psi_x D_x`` (n_x, k) and ``Psi_y D_y`` (n_y, l) of all training items, by one stream."""
        P_x, P_y = self.W_x @ directions_x, self.W_y @ directions_y
        offset_x, offset_y = self.phi_mean_x @ P_x, self.phi_mean_y @ P_y
        P_x, P_y = self.map_x.root(P_x), self.map_y.root(P_y)
        x_index, y_index, A, B = [], [], [], []
        for batch in self.stream():
            x_index.append(batch.x_index)
            y_index.append(batch.y_index)
            A.append(self.map_x.raw(self.prepare_x(batch.x)) @ P_x - offset_x)
            B.append(self.map_y.raw(self.prepare_y(batch.y)) @ P_y - offset_y)
        pairs = self.train_pairs
        return (
            gather_rows(pairs.n_x, torch.cat(x_index), torch.cat(A)),
            gather_rows(pairs.n_y, torch.cat(y_index), torch.cat(B)),
        )

    def _set(self, factors: spectral.Factors) -> None:
        """Take the factors as the solution that encodes."""
        self.factors = factors
        self.singular_values = factors.s
        weights = factors.s**self.weight_power
        P_x, P_y = self.W_x @ factors.U * weights, self.W_y @ factors.V * weights
        self.offset_x, self.offset_y = self.phi_mean_x @ P_x, self.phi_mean_y @ P_y
        self.projection_x, self.projection_y = self.map_x.root(P_x), self.map_y.root(P_y)

    def _log_pass(self) -> None:
        record = {"step": self.step_length, "gap": self.factors.gap}
        if self.passes:  # without further passes nobody needs the objective, which costs a sweep over all pairs
            record["objective"] = self.value
            self.log("objective", self.value, prog_bar=True, logger=False, rank_zero_only=True)
        self.history.append(record)
        self.log_dict({f"fit/{key}": value for key, value in record.items()}, rank_zero_only=True)
