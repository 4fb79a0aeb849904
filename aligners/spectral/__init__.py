r"""The mathematics of the spectral solver, without Lightning.

Modality features :math:`\Phi_x` (n_x, m_x), :math:`\Phi_y` (n_y, m_y) are centred and whitened,
:math:`\Psi = (\Phi - \mu) W`. The solver looks for a rank-r :math:`Z = U \mathrm{diag}(s) V^T` (m_x, m_y) whose
embeddings :math:`\Psi_x U s^p`, :math:`\Psi_y V s^p` minimise a contrastive objective of their cosines.

Start: :math:`C_0 = \Psi_x^T S_0 \Psi_y` at the uniform weights :math:`S_0`, from one stream of moments. Without
whitening its truncated SVD is PLS-SVD, with it regularised CCA.

Pass: :math:`Z \leftarrow P_r((1 - \eta) Z + \eta T(C)/|T(C)|)` with :math:`C = \Psi_x^T S \Psi_y` at the current
similarities and T its projection on the tangent space of the rank-r matrices at Z. T(C) needs only
:math:`C V = \Psi_x^T (S B)` and :math:`C^T U = \Psi_y^T (S^T A)` with the projections :math:`A = \Psi_x U` (n_x, r),
:math:`B = \Psi_y V` (n_y, r), so a pass streams the features, holds O((n_x + n_y) r) numbers, and never the
(n_x, n_y) weights nor the (m_x, m_y) matrix C. A full step takes C itself in the place of T(C), as UniCon is printed
(:math:`\eta = 1`): by products C v, C^T u of further streams, see ``krylov``. Both agree as :math:`\eta` goes to 0.

Without ``centre`` the means are left in: :math:`\Psi = \Phi W`, with W of the second moments.

What has the size of the data is in the features' own dtype, what has the size of their dimensions in float64.
"""

from aligners.spectral.coordinates import Coordinates, Projector, Statistics, project, statistics, uniform_solution
from aligners.spectral.factors import (
    POSITIVE_PART,
    SVD,
    Factors,
    positive_part,
    randomised_positive_part,
    randomised_svd,
    truncated_svd,
)
from aligners.spectral.first_pass import FirstPass
from aligners.spectral.fitted_map import fitted
from aligners.spectral.krylov import full_step
from aligners.spectral.moment_pass import MomentPass
from aligners.spectral.moments import Moments, run_length
from aligners.spectral.movement import movement, principal_angles
from aligners.spectral.negatives import NEGATIVES
from aligners.spectral.passes import Pass, Solved, run, solutions
from aligners.spectral.record import Record
from aligners.spectral.settings import SpectralSettings
from aligners.spectral.step import Step, rotated, tangent_step
from aligners.spectral.training import Training, raw_features
from aligners.spectral.whitening import Spread, Whitening, spread, unwhitened, whitening

__all__ = [
    "NEGATIVES",
    "POSITIVE_PART",
    "SVD",
    "Coordinates",
    "Factors",
    "FirstPass",
    "MomentPass",
    "Moments",
    "Pass",
    "Projector",
    "Record",
    "Solved",
    "SpectralSettings",
    "Spread",
    "Statistics",
    "Step",
    "Training",
    "Whitening",
    "fitted",
    "full_step",
    "movement",
    "positive_part",
    "principal_angles",
    "project",
    "randomised_positive_part",
    "randomised_svd",
    "raw_features",
    "rotated",
    "run",
    "run_length",
    "solutions",
    "spread",
    "statistics",
    "tangent_step",
    "truncated_svd",
    "uniform_solution",
    "unwhitened",
    "whitening",
]
