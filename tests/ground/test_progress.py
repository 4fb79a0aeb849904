"""Which process shows progress."""

import pytest

from ground.progress import is_rank_zero


@pytest.mark.parametrize("variable", ["RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"])
def test_ranks_by_the_launchers_variables(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    assert is_rank_zero()
    monkeypatch.setenv(variable, "0")
    assert is_rank_zero()
    monkeypatch.setenv(variable, "2")
    assert not is_rank_zero()
