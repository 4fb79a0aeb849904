"""Which tests run one after the other in one worker, where several workers run the suite (``pytest -n``)."""

from xdist.scheduler import LoadScopeScheduling

TOGETHER = {
    # processes of their own are many already
    "processes": (
        "tests/aligners/test_processes.py", "tests/aligners/test_resume.py", "tests/aligners/test_hybrid.py",
        "tests/aligners/test_unicon_batches.py", "tests/aligners/test_unicon_convex.py",
        "tests/aligners/test_warm_start.py", "tests/aligners/test_whole_blocks.py",
        "tests/aligners/test_head_features.py", "tests/aligners/test_transport.py",
        "tests/datamodules/cache/test_feature_cache_",
        "tests/ground/test_distributed.py",
    ),
    # the models that they share are made once
    "backbones": ("tests/backbones/",),
}  # fmt: skip
APART = ("tests/test_train",)
"""Long tests that share little: what comes last is best dealt one by one."""


class Schedule(LoadScopeScheduling):
    """Tests are dealt by file, those of ``TOGETHER`` in larger parts, those of ``APART`` one by one."""

    def _split_scope(self, nodeid: str) -> str:
        for name, paths in TOGETHER.items():
            if nodeid.startswith(paths):
                return name
        return nodeid if nodeid.startswith(APART) else nodeid.partition("::")[0]
