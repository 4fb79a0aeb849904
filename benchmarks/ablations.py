"""What an aligner's parts bring: rows of a table, each a label, a config of ``configs/aligner`` and its overrides.

Of UniCon the last pass is what is tested, in every row that does not say otherwise: chosen on validation, a pass that
does harm would not show. Of gradient aligners it is the best epoch on validation, in their favour.
"""

Row = tuple[str, str, list[str]]

LAST_PASS = "evaluation.keep=last"
LANDMARKS = "aligner.landmarks=1024"
NYSTROM = "aligner.feature_map=nystrom"
PLAIN = "benchmarks.plain_similarities"

PARTS: list[Row] = [
    (label, "unicon", overrides)
    for label, overrides in [
        ("unicon", [LAST_PASS]),
        ("pass chosen on validation", ["evaluation.keep=best"]),
        (
            "nothing chosen: the first of each list",
            [LAST_PASS, NYSTROM, "aligner.lam=1", "aligner.tau=0.1", "aligner.passes=4", "aligner.weight_power=1"],
        ),
        ("2,048 landmarks", [LAST_PASS, NYSTROM, "aligner.landmarks=2048"]),
        ("features not scaled to length 1", [LAST_PASS, "aligner.unit=false"]),
        ("linear, no feature map", [LAST_PASS, "aligner.feature_map=identity"]),
        ("nothing whitened", [LAST_PASS, "aligner.whiten=false"]),
        ("no passes", [LAST_PASS, "aligner.passes=0"]),
        ("linear, no passes", [LAST_PASS, "aligner.feature_map=identity", "aligner.passes=0"]),
        ("undamped", [LAST_PASS, "aligner.passes=4", "aligner.eta=1"]),
        ("undamped, no safeguard", [LAST_PASS, "aligner.passes=4", "aligner.eta=1", "aligner.safeguard=false"]),
        ("negatives of each batch alone", [LAST_PASS, "aligner.negatives=batch"]),
        ("spectrum split evenly", [LAST_PASS, "aligner.weight_power=0.5"]),
        ("temperature 1", [LAST_PASS, "aligner.passes=4", "aligner.tau=1"]),
    ]
]
"""UniCon with one part at a time switched off."""

FOUR = ["aligner.passes=4"]
WEIGHTS = {
    "": [],
    ", centring matrix as S": ["aligner.passes=0"],
    ", plain similarities as S": [*FOUR, "aligner.tau=0.1", f"aligner.objective={PLAIN}.PlainSimilarities"],
    ", positives less plain similarities as S": [*FOUR, f"aligner.objective={PLAIN}.PlainNegatives"],
    ", S within batches": [*FOUR, "aligner.negatives=batch"],
    ", undamped": [*FOUR, "aligner.eta=1", "aligner.safeguard=false"],
    ", nothing whitened": [*FOUR, "aligner.whiten=false"],
    ", nothing whitened, centring matrix as S": ["aligner.passes=0", "aligner.whiten=false"],
}
MAPS = {"linear": ["aligner.feature_map=identity"], "kernel": [NYSTROM, LANDMARKS]}
FEATURES = {"raw": [], "whitened": [], "kernel": [LANDMARKS], "kernel_whitened": [LANDMARKS]}

MATCHED: list[Row] = [
    (f"unicon {of_map}{weights}", "unicon", [LAST_PASS, *map_overrides, *overrides])
    for of_map, map_overrides in MAPS.items()
    for weights, overrides in WEIGHTS.items()
] + [
    (f"{aligner} {features}", aligner, [f"aligner.features={features}", *overrides])
    for aligner in ("sgd_clip", "sgd_siglip", "triplet")
    for features, overrides in FEATURES.items()
]
"""UniCon with other weights S, and gradient aligners on its features: the optimiser's share and the features'.

All kernel rows have 1,024 landmarks. Rows whose weights are replaced, or that may do harm, take 4 passes whatever
validation would say; their other lists are still chosen from.
"""

ABLATIONS = {"parts": PARTS, "matched": MATCHED}
