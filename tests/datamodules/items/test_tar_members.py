"""Members of tars, read in place, whole or damaged."""

import io
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules.items.audio import AudioFiles
from datamodules.items.items import ImageFiles, Unreadable
from datamodules.items.tar_members import AudioMembers, ImageMembers, Spans, listed
from ground.errors import UserError
from tests.datamodules.own_files import picture, sound
from tests.datamodules.tars import numbered, shard_data, tar, texts


@pytest.mark.parametrize("members", [1, 6, 15])
@pytest.mark.parametrize("more", [0, 300, 512, 514, 1000])
def test_what_a_truncated_tar_still_holds_is_used(
    members: int, more: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, cut = tar(tmp_path / "whole.tar", numbered(range(10))), tmp_path / "cut.tar"
    length = 1024 * members + more  # each member is a header and a block; the padding of its data may lack
    cut.write_bytes(whole.read_bytes()[:length])
    expected = [name for name, start, size in listed(whole) if start + size <= length]
    assert [name for name, _, _ in listed(cut)] == expected
    assert ("cut.tar is not whole" in caplog.text) == (more > 0)


def test_a_tar_damaged_in_its_middle_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tar(tmp_path / "0.tar", numbered(range(10)))
    data = bytearray(path.read_bytes())
    data[2048 * 6 : 2048 * 6 + 512] = b"x" * 512  # the header of the seventh image
    path.write_bytes(bytes(data))
    found = texts(shard_data(path, tmp_path))
    assert sum(map(len, found.values())) == 6
    assert "0.tar is not whole (damaged at byte 12,288): what comes before is used" in caplog.text


def spans_of(path: Path) -> Spans:
    members = list(listed(path))
    numbers = torch.tensor([[0, start, size] for _, start, size in members]).reshape(-1, 3).numpy()
    return Spans([path], *numbers.T, [name for name, _, _ in members])


def test_members_are_decoded_as_files_are(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    upright = io.BytesIO()
    Image.effect_noise((12, 8), 50).save(upright, "jpeg", exif=exif)
    contents = {"a.png": picture(5), "b.jpg": upright.getvalue(), "c.wav": sound(3)}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    spans = spans_of(tar(tmp_path / "0.tar", dict(contents)))
    members, files = ImageMembers(spans, "m"), ImageFiles([tmp_path / name for name in contents], "f")
    for i in range(2):
        assert members[i].tobytes() == files[i].tobytes()
        assert members.show(i).tobytes() == files.show(i).tobytes()
    assert members[1].size == (8, 12)
    assert members[1].filename == f"{tmp_path / '0.tar'}: b.jpg"
    clip, expected = AudioMembers(spans, "m")[2], AudioFiles([tmp_path / "c.wav"], "f")[0]
    assert (clip.samples.tolist(), clip.rate, clip.notes) == (expected.samples.tolist(), 16_000, expected.notes)
    for items, i in ((members, 2), (AudioMembers(spans, "m"), 0)):
        with pytest.raises(Unreadable, match=r"0\.tar: .*cannot be decoded") as caught:
            items[i]
        assert "\n" not in str(caught.value)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    contents=st.lists(st.binary(max_size=1500), min_size=1, max_size=6),
    order=st.permutations(range(6)),
)
def test_bytes_and_fingerprints_of_members(contents: list[bytes], order: list[int], tmp_path: Path) -> None:
    members = ImageMembers(spans_of(tar(tmp_path / "0.tar", {f"{i}.png": c for i, c in enumerate(contents)})), "m")
    assert [members.content(i) for i in range(len(members))] == contents
    order = [i for i in order if i < len(contents)]
    taken = members.take(torch.tensor(order))
    assert [taken.content(i) for i in range(len(taken))] == [contents[i] for i in order]
    assert (taken.fingerprint == members.fingerprint) == ([contents[i] for i in order] == contents)
    repacked = tar(tmp_path / "1.tar", {"x": "more", **{f"k{i}": contents[i] for i in order}})
    names = torch.arange(1, len(order) + 1)
    assert ImageMembers(spans_of(repacked), "other").take(names).fingerprint == taken.fingerprint
    assert AudioMembers(members.spans, "m").fingerprint != members.fingerprint
    assert len(members.take(torch.arange(0)).fingerprint) == 64


def test_a_tar_that_changes_while_in_use_is_an_error(tmp_path: Path) -> None:
    path = tar(tmp_path / "0.tar", {"0.png": picture(0)})
    members = ImageMembers(spans_of(path), "pairs train image")
    assert len(members.fingerprint) == 64
    tar(path, {"0.png": picture(1)})
    with pytest.raises(UserError, match=r"pairs train image: .*0\.tar: 0\.png changed while it was in use"):
        members[0]
    path.unlink()
    with pytest.raises(UserError, match=r"0\.tar is gone"):
        members[0]
