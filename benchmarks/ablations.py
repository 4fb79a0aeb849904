"""UniCon with one part at a time switched off: a label, and the overrides of ``configs/aligner/unicon.yaml``.

The last pass is what is tested, in every row but the second: chosen on validation, a pass that does harm would not
show. Centring is no option of any aligner, so it has no row.
"""

LAST_PASS = "evaluation.keep=last"

ABLATIONS: list[tuple[str, list[str]]] = [
    ("unicon", [LAST_PASS]),
    ("pass chosen on validation", ["evaluation.keep=best"]),
    (
        "nothing chosen: the first of each list",
        [LAST_PASS, "aligner.lam=1", "aligner.tau=0.1", "aligner.passes=4", "aligner.weight_power=1"],
    ),
    ("2,048 landmarks", [LAST_PASS, "aligner.landmarks=2048"]),
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
