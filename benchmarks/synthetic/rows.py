"""The rows of ``docs/synthetic.md``: which aligner is run on which experiment, and what the paper reports of it."""

from typing import NamedTuple

LINEAR, NONLINEAR = "linear", "nonlinear"
DATA = (LINEAR, NONLINEAR)
TANH = "datamodule.nonlinearity=tanh"
EVERY_5 = ("trainer.check_val_every_n_epoch=5",)
EVERY_10 = ("trainer.check_val_every_n_epoch=10",)
"""Validation costs more than an epoch of gradient steps: it is not after every one."""


class Row(NamedTuple):
    """A method on one of the two data sets.

    Example:
        >>> row = Row("SGD-CLIP", "sgd_clip", EVERY_10, tuned=True)
        >>> row.aligner, row.overrides, row.reported
        ('sgd_clip', ('trainer.check_val_every_n_epoch=10',), '')
    """

    label: str
    aligner: str
    overrides: tuple[str, ...] = ()
    reported: str = ""  # by the paper
    tuned: bool = False  # at its best setting on validation


class Group(NamedTuple):
    """A table: its name for ``--only``, its title, and for each data set the overrides that choose it, with its rows.

    Example:
        >>> group = Group("fair", "Fair", {LINEAR: (("experiment=synthetic_linear_fair",), (Row("CCA", "cca"),))})
        >>> [row.label for row in group.rows[LINEAR][1]]
        ['CCA']
    """

    name: str
    title: str
    rows: dict[str, tuple[tuple[str, ...], tuple[Row, ...]]]


PRINTED = Group(
    "printed",
    "As printed",
    {
        LINEAR: (
            ("experiment=synthetic_linear_paper",),
            (
                Row("UniCon, 2 passes", "unicon_paper", reported="100 %, 0.02 s"),
                Row("SGD-CLIP, 400 epochs", "sgd_clip_paper", EVERY_5, "100 %, 0.32 s"),
            ),
        ),
        NONLINEAR: (
            ("experiment=synthetic_nonlinear_paper",),
            (
                Row("UniCon, batches of 200 by validation accuracy", "unicon_batches_paper", (), "86 %, 0.04 s"),
                Row("UniCon, batches of 100", "unicon_batches_paper", ("datamodule.batch_size=100",)),
                Row("UniCon, linear, all pairs", "unicon_paper"),
                Row("UniCon, arc-cosine 1 kernel, all pairs", "unicon_kernel_paper", (), "86 %"),
                Row("SGD-MLP, 500 epochs, batches of 200", "sgd_mlp_paper", EVERY_5, "84 %, 0.65 s"),
                Row("SGD-MLP, 500 epochs, one batch", "sgd_mlp_paper", (*EVERY_5, "datamodule.batch_size=600")),
            ),
        ),
    },
)

REPORTED_KERNELS = {
    "rbf": ".56", "matern_32": ".73", "cosine": ".81", "exp_cosine": ".73", "arc_cosine_0": ".85 (arc-cosine)",
    "arc_cosine_1": ".86 (angular)",
}  # fmt: skip
KERNELS = Group(
    "kernels",
    "Kernels of Table 7, nonlinear data",
    {
        NONLINEAR: (
            ("experiment=synthetic_kernels_paper",),
            tuple(
                Row(f"`{kernel}`", "unicon_kernel_paper", (f"aligner.kernel={kernel}",), reported)
                for kernel, reported in REPORTED_KERNELS.items()
            ),
        )
    },
)

DAMPED = ("aligner.step=tangent", "aligner.eta=0.1", "aligner.safeguard=true")
_TRIPLET = (
    Row("margin 0.2, two undamped passes", "unicon_paper", reported="90 %"),
    Row("margin 0.2, 20 damped passes", "unicon_paper", (*DAMPED, "aligner.passes=20", "aligner.max_halvings=10")),
    *(
        Row(f"margin {margin}, two undamped passes", "unicon_paper", (f"aligner.objective_options.margin={margin}",))
        for margin in ("0.5", "1.0", "2.0")
    ),
)
TRIPLET = Group(
    "triplet",
    "Triplet variant",
    {
        LINEAR: (("experiment=synthetic_triplet_paper",), _TRIPLET),
        NONLINEAR: (("experiment=synthetic_triplet_paper", TANH), _TRIPLET),
    },
)

_PASSES = tuple(
    Row(f"tau {tau}, {how}", "unicon_paper", (f"aligner.tau={tau}", *overrides))
    for tau, how, overrides in (
        ("1", "as printed", ()),
        ("1", "tangent, eta 0.1, safeguarded", DAMPED),
        ("0.1", "as printed", ()),
        ("0.1", "as printed, safeguarded", ("aligner.safeguard=true",)),
        ("0.1", "full, eta 0.1, safeguarded", ("aligner.eta=0.1", "aligner.safeguard=true")),
        ("0.1", "tangent, eta 0.1, safeguarded", DAMPED),
    )
)
PASSES = Group(
    "passes",
    "Converges in 2 steps",
    {
        LINEAR: (("experiment=synthetic_passes",), _PASSES),
        NONLINEAR: (("experiment=synthetic_passes", TANH), _PASSES),
    },
)

_FAIR = (
    Row("UniCon (kernel, default)", "unicon"),
    Row("UniCon, linear", "unicon", ("aligner.feature_map=identity",)),
    Row("regularised CCA", "cca", tuned=True),
    Row("PLS-SVD", "pls", tuned=True),
    Row("SGD-CLIP", "sgd_clip", EVERY_10, tuned=True),
    Row("SGD-SigLIP", "sgd_siglip", EVERY_10, tuned=True),
    Row("triplet", "triplet", EVERY_10, tuned=True),
    Row("UniCon as printed", "unicon_paper"),
)
_MLP = (Row("SGD-CLIP, MLP heads", "sgd_clip", (*EVERY_10, "aligner.head=mlp"), tuned=True),)
FAIR = Group(
    "fair",
    "Fair",
    {
        LINEAR: (("experiment=synthetic_linear_fair",), _FAIR),
        NONLINEAR: (("experiment=synthetic_nonlinear_fair",), (*_FAIR, *_MLP)),
    },
)

GROUPS = (PRINTED, KERNELS, TRIPLET, PASSES, FAIR)
