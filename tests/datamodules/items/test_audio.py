"""Sound files as items: what is read, what is odd about it, what cannot be read."""

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from datamodules.items.audio import AudioFiles, Clip
from datamodules.items.items import ImageFiles, Unreadable
from ground.errors import UserError

RATE = 32_000


def noise(n: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.5, 0.5, (n, channels)).astype(np.float32)


def sound(path: Path, samples: np.ndarray | None = None, rate: int = RATE, **save: Any) -> Path:
    soundfile.write(path, noise(rate) if samples is None else samples, rate, **save)
    return path


def only(path: Path) -> Clip:
    return AudioFiles([path], "sounds")[0]


@pytest.mark.parametrize(
    ("suffix", "subtype", "step"),
    [
        ("wav", "PCM_U8", 2.0**-7),
        ("wav", "PCM_16", 2.0**-15),
        ("wav", "PCM_24", 2.0**-23),
        ("wav", "PCM_32", 2.0**-24),
        ("wav", "FLOAT", 0),
        ("wav", "DOUBLE", 0),
        ("flac", "PCM_16", 2.0**-15),
        ("flac", "PCM_24", 2.0**-23),
    ],
)
@pytest.mark.parametrize("rate", [16_000, 44_100, 96_000])
def test_samples_are_those_of_the_file(suffix: str, subtype: str, step: float, rate: int, tmp_path: Path) -> None:
    written = noise(rate + 7)
    clip = only(sound(tmp_path / f"a.{suffix}", written, rate, subtype=subtype))
    assert (clip.rate, clip.samples.dtype, clip.samples.shape, clip.notes) == (rate, np.float32, (rate + 7,), ())
    assert clip.filename == str(tmp_path / f"a.{suffix}")
    np.testing.assert_allclose(clip.samples, written[:, 0], rtol=0, atol=step)


@pytest.mark.parametrize("name", ["a.ogg", "a.mp3"])
def test_lossy_formats_are_near(name: str, tmp_path: Path) -> None:
    time = np.arange(2 * RATE) / RATE
    tone = (0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
    clip = only(sound(tmp_path / name, tone))
    assert clip.rate == RATE
    assert np.corrcoef(clip.samples[: len(tone)], tone)[0, 1] > 0.99


@pytest.mark.parametrize(("channels", "note"), [(2, "stereo"), (5, "5 channels")])
def test_channels_are_averaged(channels: int, note: str, tmp_path: Path) -> None:
    written = noise(RATE, channels)
    clip = only(sound(tmp_path / "a.wav", written, subtype="FLOAT"))
    np.testing.assert_allclose(clip.samples, written.mean(axis=1), atol=1e-7)
    assert clip.notes == (note,)


def test_more_than_a_block_is_read_whole(tmp_path: Path) -> None:
    written = noise((1 << 20) + 3)
    clip = only(sound(tmp_path / "a.wav", written, subtype="FLOAT"))
    np.testing.assert_array_equal(clip.samples, written[:, 0])


@pytest.mark.parametrize(
    ("samples", "rate", "notes"),
    [
        (noise(16_000), 16_000, ()),
        (noise(15_999), 16_000, ("shorter than 1 s",)),
        (noise(60 * 16_000), 16_000, ()),
        (noise(60 * 16_000 + 1), 16_000, ("longer than 60 s",)),
        (noise(8_000), 8_000, ("rate 8000 Hz",)),
        (np.zeros(RATE), RATE, ("silent",)),
        (np.full(RATE, 0.3), RATE, ("silent",)),  # a constant is no sound
        (2.0**-15 * (-1.0) ** np.arange(RATE), RATE, ("silent",)),
        (2.0**-14 * (-1.0) ** np.arange(RATE), RATE, ()),
        (noise(RATE) * [1, -1], RATE, ("stereo", "silent")),  # its mean is
        (np.zeros(1), 8_000, ("rate 8000 Hz", "shorter than 1 s", "silent")),
    ],
)
def test_notes(samples: np.ndarray, rate: int, notes: tuple[str, ...], tmp_path: Path) -> None:
    assert only(sound(tmp_path / "a.wav", samples, rate, subtype="FLOAT")).notes == notes


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_no_number_is_set_to_zero_before_the_mean(wrong: float, tmp_path: Path) -> None:
    written = noise(RATE, 2)
    written[5, 0] = wrong
    clip = only(sound(tmp_path / "a.wav", written, subtype="FLOAT"))
    written[5, 0] = 0
    np.testing.assert_allclose(clip.samples, written.mean(axis=1), atol=1e-7)
    assert clip.notes == ("stereo", "not finite samples set to 0")


def test_loud_floats_are_kept(tmp_path: Path) -> None:
    assert np.ptp(only(sound(tmp_path / "a.wav", 40_000 * noise(RATE), subtype="FLOAT")).samples) > 30_000


def wav_bytes(**save: Any) -> bytearray:
    file = io.BytesIO()
    soundfile.write(file, noise(RATE), RATE, format="WAV", **save)
    return bytearray(file.getvalue())


def test_a_wav_that_is_cut_short_is_read_and_noted(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(wav_bytes()[:40_044])
    clip = only(path)
    assert 19_000 < len(clip.samples) <= 20_000
    assert clip.notes == ("shorter than 1 s", "cut short")


def test_an_mp3_that_is_cut_short_is_read_and_noted(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = sound(tmp_path / "a.mp3", noise(5 * RATE))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "cut short" in only(path).notes


def test_a_wav_written_to_a_pipe_is_whole(tmp_path: Path) -> None:
    data = wav_bytes()
    place = data.index(b"data") + 4
    data[4:8] = data[place : place + 4] = b"\xff" * 4  # the length was not known when the header was written
    (tmp_path / "a.wav").write_bytes(data)
    clip = only(tmp_path / "a.wav")
    assert (len(clip.samples), clip.notes) == (RATE, ())


def broken(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.wav"
    data = wav_bytes()
    match kind:
        case "header cut":
            path.write_bytes(data[:30])
        case "no sound":
            path.write_text("not a\nsound")
        case "empty":
            path.touch()
        case "no samples":
            sound(path, np.zeros(0, np.float32))
        case "rate of 0" | "rate of 7 Hz" | "rate of 4 GHz":
            rates = {"rate of 0": 0, "rate of 7 Hz": 7, "rate of 4 GHz": 4_000_000_000}
            path.write_bytes(data[:24] + struct.pack("<I", rates[kind]) + data[28:])
        case "flac cut":
            whole = sound(folder / "whole.flac").read_bytes()
            path.write_bytes(whole[: len(whole) // 2])
        case "flac damaged":
            whole = bytearray(sound(folder / "whole.flac").read_bytes())
            whole[20_000:24_000] = bytes(4_000)
            path.write_bytes(whole)
        case "folder":
            path.mkdir()
        case "missing":
            pass
    return path


KINDS = ["header cut", "no sound", "empty", "no samples", "rate of 0", "rate of 7 Hz", "rate of 4 GHz"]
KINDS += ["flac cut", "flac damaged", "folder", "missing"]


@pytest.mark.parametrize("kind", KINDS)
def test_unreadable_files_are_named_in_one_line(kind: str, tmp_path: Path) -> None:
    path = broken(kind, tmp_path)
    source = AudioFiles([sound(tmp_path / "good.wav"), path], "sounds")
    assert len(source.fingerprint) == 64
    assert len(source[0].samples) == RATE
    with pytest.raises(Unreadable) as caught:
        source[1]
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line


def test_a_header_that_promises_days_costs_no_memory_for_them(tmp_path: Path) -> None:
    data = bytearray(sound(tmp_path / "a.flac").read_bytes())
    data[21] |= 0x0F  # STREAMINFO: 36 bits, the number of samples
    data[22:26] = b"\xff" * 4
    (tmp_path / "a.flac").write_bytes(data)
    try:
        clip = only(tmp_path / "a.flac")
    except Unreadable:
        return
    assert len(clip.samples) == RATE
    assert "cut short" in clip.notes


@settings(max_examples=60, deadline=None)
@given(damage=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 255)), min_size=1, max_size=6))
def test_a_damaged_header_is_read_or_unreadable(damage: list[tuple[int, int]], tmp_path_factory: Any) -> None:
    data = wav_bytes()
    for place, value in damage:
        data[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.wav"
    path.write_bytes(data)
    try:
        clip = only(path)
    except Unreadable:
        return
    assert np.isfinite(clip.samples).all()
    assert len(clip.samples) > 0


@pytest.mark.parametrize("name", ["a b.wav", "Kätzchen 猫 🐈.wav", "semi;colon 'quoted' [1].wav", "a.b.c.WAV"])
def test_names_of_any_script(name: str, tmp_path: Path) -> None:
    source = AudioFiles([sound(tmp_path / name)], "sounds")
    assert len(source[0].samples) == RATE
    assert source.show(0) == name[:-4]


def test_take(tmp_path: Path) -> None:
    paths = [sound(tmp_path / f"{i}.wav", noise(RATE, seed=i)) for i in range(3)]
    source = AudioFiles(paths, "sounds")
    taken = source.take(torch.tensor([2, 0, 2]))
    assert isinstance(taken, AudioFiles)
    assert (taken.name, taken.paths, [taken.show(i) for i in range(3)]) == (
        "sounds",
        [paths[2], paths[0], paths[2]],
        ["2", "0", "2"],
    )
    np.testing.assert_array_equal(taken[1].samples, source[0].samples)


def test_fingerprint_is_of_content_order_and_kind(tmp_path: Path) -> None:
    a, b = sound(tmp_path / "a.wav", noise(RATE, seed=1)), sound(tmp_path / "b.wav", noise(RATE, seed=2))
    twin = tmp_path / "twin.wav"
    twin.write_bytes(a.read_bytes())
    lists = [[a, b], [b, a], [a], [], [a, tmp_path / "missing.wav"], [a, a]]
    prints = [AudioFiles(paths, "sounds").fingerprint for paths in lists]
    assert len(set(prints)) == len(lists)
    assert AudioFiles([twin, b], "elsewhere").fingerprint == prints[0]
    assert ImageFiles([a, b], "sounds").fingerprint != prints[0]


def test_a_file_that_changes_after_the_fingerprint_is_an_error(tmp_path: Path) -> None:
    path = sound(tmp_path / "a.wav")
    source = AudioFiles([path], "sounds")
    assert source.fingerprint
    sound(path, noise(RATE, seed=1))
    with pytest.raises(UserError, match=r"a\.wav changed"):
        source[0]
