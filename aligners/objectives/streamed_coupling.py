r"""Objectives of transport over all pairs of some items, by tiles: a step of Sinkhorn is one sweep.

Autograd sees vectors alone. The backward of a sweep is a sweep, and leaves a part of the derivative in ``log K``: that
of a row step is the rank-one scaling :math:`K_{ij} e^{g_j} \bar f_i e^{-LSE_i}`. A last sweep multiplies by their sum.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from aligners.objectives.sweep import Contrast, within


class Matrix(NamedTuple):
    """What is made of a tile of ``log K``: ``K^power``, of positives alone or of all, times ``log K`` or not."""

    power: float = 1.0
    positives: bool = False
    logged: bool = False


class Part(NamedTuple):
    """A part of the derivative in ``log K``: the matrix ``M_ij e^(a_i + b_j) u_i w_j``."""

    matrix: Matrix
    a: Tensor
    b: Tensor
    u: Tensor
    w: Tensor


class StreamedCoupling:
    """The kernel of unit x (n_x, r) and y (n_y, r) beside ``positive_plan``, never held; a ``Coupling``."""

    def __init__(self, contrast: Contrast, x: Tensor, y: Tensor):
        self.contrast = contrast
        self.x, self.y = x, y
        self.scaled = self.x / contrast.tau
        p, q = contrast.p.double(), contrast.q.double()
        self.of_group = (1 / p + 1 / q) / 2  # T is one number within a group
        self.mu, self.nu = (q * self.of_group)[contrast.x_id], (p * self.of_group)[contrast.y_id]
        self.positives = q[contrast.x_id]
        self.mass = (p * q * self.of_group).sum()
        self.entropy = (p * q * self.of_group * self.of_group.log()).sum()
        of_x, of_y = contrast.group_sums(self.x, contrast.x_id), contrast.group_sums(self.y, contrast.y_id)
        cosines = (of_x.double() * of_y.double()).sum(1)
        self._matched = (self.of_group * (cosines - p * q)).sum() / contrast.tau
        self._matched.requires_grad_()  # a leaf: its gradient is what T weighs in S
        self.leaf = torch.zeros_like(self._matched).requires_grad_()  # what makes autograd go through the first sweep
        self.parts: list[Part] = []
        self._last = {True: torch.zeros_like(self.nu), False: torch.zeros_like(self.mu)}

    def rows(self, g: Tensor) -> Tensor:
        return _LogSums.apply(self.leaf, g, self, False)  # type: ignore[no-any-return]

    def columns(self, f: Tensor) -> Tensor:
        return _LogSums.apply(self.leaf, f, self, True)  # type: ignore[no-any-return]

    def matched(self) -> Tensor:
        return self._matched

    def energy(self, f: Tensor, g: Tensor) -> Tensor:
        return _Energy.apply(self.leaf, f, g, self)  # type: ignore[no-any-return]

    def powers(self, g: Tensor, q: float) -> Tensor:
        return _Powers.apply(self.leaf, g, self, q)  # type: ignore[no-any-return]

    def log_sums(self, vector: Tensor, transposed: bool) -> Tensor:
        """``LSE_j(log K + vector)``, or of the columns: shifted by the last one, from which a step moves little."""
        shift = -self._last[transposed]
        ones = torch.ones_like(vector)
        if transposed:
            sums = self.sums(Matrix(), vector, shift, ones, None)[1]
        else:
            sums = self.sums(Matrix(), shift, vector, None, ones)[0]
        self._last[transposed] = sums.log() - shift
        return self._last[transposed]

    def sums(self, matrix: Matrix, a: Tensor, b: Tensor, u: Tensor | None, w: Tensor | None) -> tuple[Tensor, Tensor]:
        """``sum_j M_ij w_j`` (n_x,) and ``sum_i u_i M_ij`` (n_y,), of ``M e^(a + b)``; 0 for a vector that is None."""
        rows, columns = torch.zeros_like(self.mu), torch.zeros_like(self.nu)
        a, b, u_, w_ = (
            a.to(self.x),
            b.to(self.x),
            None if u is None else u.to(self.x),
            None if w is None else w.to(self.x),
        )
        room, logs = self.contrast.room(self.x), self.contrast.room(self.x)
        for i, j in self.contrast.tiles():
            M = self._exponentials(matrix, a, b, i, j, self._log_tile(i, j, logs), room)
            if w_ is not None:
                rows[i] += M @ w_[j]
            if u_ is not None:
                columns[j] += u_[i] @ M
        self.contrast.add(rows, columns)
        return rows, columns

    def products(self, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
        """``S B`` (n_x, l) and ``S^T A`` (n_y, k), after the loss's backward."""
        contrast, tau = self.contrast, self.contrast.tau
        SB, StA = (A.new_zeros(n, side.shape[1], dtype=torch.float64) for n, side in ((len(A), B), (len(B), A)))
        A_, B_, merged = A.to(self.x), B.to(self.x), self._merged()
        rooms = [contrast.room(self.x) for _ in range(4)]
        for i, j in contrast.tiles():
            W, logs = within(rooms[0], i, j).zero_(), self._log_tile(i, j, rooms[1])
            for matrix, a, b, u, w in merged:
                M = self._exponentials(matrix, a, b, i, j, logs, rooms[2])
                W.addcmul_(M, torch.mm(u[i], w[j].T, out=within(rooms[3], i, j)), value=-1 / tau)
            SB[i] += W @ B_[j]
            StA[j] += W.T @ A_[i]
        if contrast.share == 0 and self._matched.grad is not None:
            weight = (-self._matched.grad / tau * self.of_group)[:, None]
            SB += (contrast.group_sums(B.double(), contrast.y_id) * weight)[contrast.x_id]
            StA += (contrast.group_sums(A.double(), contrast.x_id) * weight)[contrast.y_id]
        contrast.add(SB, StA)
        return SB.to(A), StA.to(B)

    def _merged(self) -> list[Part]:
        """The parts, those of one matrix as one: u (n_x, k) and w (n_y, k) of k parts, scaled to the last one's."""
        merged = []
        for matrix in {part.matrix: None for part in self.parts}:
            parts = [part for part in self.parts if part.matrix == matrix]
            a, b = parts[0].a, parts[0].b  # backward begins with the last step
            u = torch.stack([part.u * (part.a - a).exp() for part in parts], 1)
            w = torch.stack([part.w * (part.b - b).exp() for part in parts], 1)
            merged.append(Part(matrix, *(each.to(self.x) for each in (a, b, u, w))))
        return merged

    def _log_tile(self, i: slice, j: slice, room: Tensor) -> Tensor:
        logs = within(room, i, j)
        torch.mm(self.scaled[i], self.y[j].T, out=logs)
        return logs.sub_(1 / self.contrast.tau)

    def _exponentials(
        self, matrix: Matrix, a: Tensor, b: Tensor, i: slice, j: slice, logs: Tensor, room: Tensor
    ) -> Tensor:
        M = torch.add(a[i, None], b[j], out=within(room, i, j))
        M.add_(logs, alpha=matrix.power).exp_()
        if matrix.logged:
            M.mul_(logs)
        if matrix.positives:
            M.mul_(self.contrast.x_id[i, None] == self.contrast.y_id[j])
        return M


class _LogSums(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, leaf: Tensor, vector: Tensor, coupling: StreamedCoupling, transposed: bool) -> Tensor:
        sums = coupling.log_sums(vector, transposed)
        ctx.save_for_backward(vector, sums)
        ctx.coupling, ctx.transposed = coupling, transposed
        return sums

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (bar,), (vector, sums), coupling = gradients, ctx.saved_tensors, ctx.coupling
        ones = torch.ones_like(vector)
        part = Part(Matrix(), vector, -sums, ones, bar) if ctx.transposed else Part(Matrix(), -sums, vector, bar, ones)
        coupling.parts.append(part)
        if not ctx.needs_input_grad[1]:
            return None, None, None, None
        u, w = (None, bar) if ctx.transposed else (bar, None)
        of_rows, of_columns = coupling.sums(part.matrix, part.a, part.b, u, w)
        return None, of_rows if ctx.transposed else of_columns, None, None


class _Energy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, leaf: Tensor, f: Tensor, g: Tensor, coupling: StreamedCoupling) -> Tensor:
        rows, columns = coupling.sums(Matrix(logged=True), f, g, torch.ones_like(f), torch.ones_like(g))
        ctx.save_for_backward(f, g, rows, columns)
        ctx.coupling = coupling
        return rows.sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (bar,), (f, g, rows, columns) = gradients, ctx.saved_tensors
        for matrix in (Matrix(), Matrix(logged=True)):  # the derivative of P log K is P + P log K
            ctx.coupling.parts.append(Part(matrix, f, g, bar.expand_as(f), torch.ones_like(g)))
        return None, bar * rows, bar * columns, None


class _Powers(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, leaf: Tensor, g: Tensor, coupling: StreamedCoupling, q: float) -> Tensor:
        ctx.coupling, ctx.matrix = coupling, Matrix(power=q, positives=True)
        ctx.save_for_backward(g)
        rows, _ = coupling.sums(ctx.matrix, torch.zeros_like(coupling.mu), q * g, None, torch.ones_like(g))
        return rows / coupling.positives

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (bar,), (g,), coupling, q = gradients, ctx.saved_tensors, ctx.coupling, ctx.matrix.power
        u = q * bar / coupling.positives
        part = Part(ctx.matrix, torch.zeros_like(coupling.mu), q * g, u, torch.ones_like(g))
        coupling.parts.append(part)
        of_g = coupling.sums(ctx.matrix, part.a, part.b, u, None)[1] if ctx.needs_input_grad[1] else None
        return None, of_g, None, None
