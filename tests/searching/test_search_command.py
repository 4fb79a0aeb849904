"""Searching with a real run on real images and texts, and embedding new items with it."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch.nn.functional import normalize

from aligners import load
from datamodules.clipart import DATA
from ground.errors import UserError
from searching.command import search
from searching.embed import embed
from tests.cli import call, small
from tests.datamodules import clotho_layout

RECORDS = [json.loads(line) for line in (DATA / "pairs.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def found(capsys: pytest.CaptureFixture[str]) -> list[tuple[float, str]]:
    lines = [line.split(None, 2) for line in capsys.readouterr().out.splitlines() if line[:3].strip().isdecimal()]
    return [(float(score), name) for _, score, name in lines]


def test_a_text_finds_images_and_leaves_a_sheet(picture_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    search([f"run={picture_run}", RECORDS[0]["captions"][0], "top=4", "sheet=sheet.png"])
    best = found(capsys)
    assert len(best) == 4
    assert best == sorted(best, key=lambda each: -each[0])
    assert "(train)" in best[0][1] or "(val)" in best[0][1] or "(test)" in best[0][1]
    with Image.open("sheet.png") as sheet:
        assert sheet.width > 400


def test_scores_are_the_cosines_of_the_split(picture_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (picture_run.parent / "pairs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    search([f"run={picture_run}", "text=a dog", "split=train,val,test", "top=100", "sheet=s.png"])
    every = {name.split()[0]: score for score, name in found(capsys)}
    aligner = load(picture_run)
    cosines = aligner.similarity([row["image"] for row in rows], ["a dog"])[:, 0]
    for row, cosine in zip(rows, cosines.tolist(), strict=True):
        assert every[Path(row["image"]).name] == pytest.approx(cosine, abs=2e-4)


def test_an_image_finds_texts_and_images(picture_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = DATA / RECORDS[3]["image"]
    search([f"run={picture_run}", f"image={image}", "top=2", "sheet=s.png"])
    assert len(found(capsys)) == 2
    search([f"run={picture_run}", f"image={image}", "among=image", "top=1"])
    assert found(capsys)[0][1].startswith(image.name)
    assert (picture_run / "search" / f"{image.name}.png").is_file()


def test_new_files_are_searched_and_what_was_embedded_gives_the_same(
    picture_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new"
    new.mkdir()
    for record in RECORDS[60:72]:
        shutil.copy(DATA / record["image"], new)
    (new / "broken.png").write_bytes(b"no picture")
    shutil.copytree(picture_run, tmp_path / "run")
    config = (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    (tmp_path / "run" / "config.yaml").write_text(
        config.replace("max_unreadable_share: 0.01", "max_unreadable_share: 0.1")
    )
    search(["run=run", "a house", f"index={new}", "sheet=s.png"])
    direct = found(capsys)
    assert len(direct) == 10
    embed(["run=run", f"items={new}", "to=new.safetensors"])
    assert "x (12, 8)" in capsys.readouterr().out
    search(["run=run", "a house", "index=new.safetensors", "sheet=s.png"])
    assert [name for _, name in found(capsys)] == [name for _, name in direct]
    with (tmp_path / "run" / "checkpoints" / "last.ckpt").open("ab") as file:
        file.write(b"x")
    with pytest.raises(UserError, match=r"^new.safetensors was not embedded by the run run: embed its items again"):
        search(["run=run", "a house", "index=new.safetensors"])


def test_an_embedded_table_is_a_features_file(picture_run: Path, tmp_path: Path) -> None:
    records = RECORDS[100:130]
    with Path("new.csv").open("w", newline="") as file:
        rows = [("image", "text"), *((DATA / r["image"], text) for r in records for text in r["captions"][:2])]
        csv.writer(file).writerows(rows)
    embed([f"run={picture_run}", "items=new.csv", "to=new.safetensors"])
    with safe_open("new.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in list(file.keys())}
        assert file.metadata()["x_name"] == "image"
    aligner = load(picture_run)
    texts = [text for r in records for text in r["captions"][:2]]
    distinct = list(
        dict.fromkeys((int(i), t) for i, t in zip(torch.arange(30).repeat_interleave(2), texts, strict=True))
    )
    assert tensors["x"].shape == (30, 8)
    ours = aligner.encode_y([text for _, text in distinct])
    torch.testing.assert_close(normalize(tensors["y"]), normalize(ours), rtol=0, atol=1e-5)
    assert tensors["x_of_y"].tolist() == [owner for owner, _ in distinct]
    assert bytes(tensors["y_names"].numpy()).decode().splitlines() == [text for _, text in distinct]
    of_run = ["datamodule=features", "datamodule.path=new.safetensors", "aligner=identity", "aligner.centre=false"]
    assert call(*of_run, "run_dir=again", "trainer.enable_progress_bar=false", "report.sheet_items=1") == 0


def test_a_pair_whose_image_cannot_be_read_is_left_out(picture_run: Path, tmp_path: Path) -> None:
    shutil.copytree(picture_run, tmp_path / "run")
    config = (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    (tmp_path / "run" / "config.yaml").write_text(
        config.replace("max_unreadable_share: 0.01", "max_unreadable_share: 0.9")
    )
    (tmp_path / "broken.png").write_bytes(b"no picture")
    shutil.copy(DATA / RECORDS[0]["image"], tmp_path / "pig.webp")
    Path("t.csv").write_text("image,text\nbroken.png,one\npig.webp,two\nbroken.png,three\n")
    embed(["run=run", "items=t.csv", "to=t.safetensors"])
    with safe_open("t.safetensors", framework="pt") as file:
        assert file.get_tensor("x").shape == (1, 8)
        assert file.get_tensor("x_of_y").tolist() == [0]
        assert bytes(file.get_tensor("y_names").numpy()) == b"two\n"


def test_sounds_are_found_by_texts_and_find_texts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips = clotho_layout.write_clotho(tmp_path / "clotho")["evaluation"]
    of_run = ["datamodule=clotho", f"data_dir={tmp_path / 'clotho'}", "aligner=cca", "aligner.rank=2", "run_dir=run"]
    quiet = ["trainer.enable_progress_bar=false", "trainer.accelerator=cpu", "report.sheet_items=1"]
    assert call(*of_run, *quiet, "datamodule.text_backbone.device=cpu", "datamodule.audio_backbone.device=cpu") == 0
    capsys.readouterr()
    search(["run=run", "a clip", "split=test", "top=9", "sheet=s.png"])
    by_text = found(capsys)
    assert {name.removesuffix(" (test)") for _, name in by_text} == {clip.path.name for clip in clips}
    search(["run=run", f"audio={clips[0].path}", "split=test", "top=1", "sheet=s.png"])
    assert found(capsys)[0][1].startswith("Clip ")
    search(["run=run", f"audio={clips[0].path}", "split=test", "among=audio", "top=1", "sheet=s.png"])
    score, name = found(capsys)[0]
    assert (round(score, 3), name) == (1.0, f"{clips[0].path.name} (test)")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["a dog"], r'^search needs a run: python search.py run=RUN "a red telephone"$'),
        (["run=RUN"], r"^search needs a query: "),
        (
            ["run=RUN", "a dog", "image=b.png"],
            r"^one query at a time, got text and image$|^one query at a time, got image",
        ),
        (["run=RUN", "audio=a.wav"], r"^the run encodes image and text, the query is of audio$"),
        (["run=RUN", "a dog", "among=sounds"], r"^among must be image or text, got 'sounds'$"),
        (["run=RUN", "a dog", "split=valid"], r"^unknown split 'valid': did you mean 'val'"),
        (["run=RUN", "image=nowhere.png"], r"^nowhere.png: No such file or directory$"),
        (["run=RUN", "a dog", "top=0"], r"^top must be at least 1, got 0$"),
        (["run=RUN", "a dog", "index=nowhere"], r"^there is no folder, table or text file nowhere$"),
        (["run=RUN", "a dog", "index=nowhere.safetensors"], r"^nowhere.safetensors is no whole safetensors file"),
        (["run=nowhere", "a dog"], r"^run=nowhere is no run directory of train.py$"),
    ],
)
def test_mistakes_are_told_in_a_line(arguments: list[str], line: str, picture_run: Path) -> None:
    with pytest.raises(UserError, match=line):
        search([each.replace("RUN", str(picture_run)) for each in arguments])


def test_a_run_of_features_has_no_encoders() -> None:
    assert small("run_dir=run") == 0
    for command, arguments in ((search, ["a dog"]), (embed, ["items=.", "to=a.safetensors"])):
        with pytest.raises(UserError, match=r"^the run run is of features: it has no encoders"):
            command(["run=run", *arguments])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["run=RUN"], r"^items is not given: python embed.py run=RUN items=FOLDER to=FILE.safetensors$"),
        (["RUN"], r"^cannot read '.*': python embed.py"),
        (["run=RUN", "items=t.txt", "to=no/where.safetensors"], r"^cannot write no/where.safetensors: "),
    ],
)
def test_mistakes_of_embed_are_told_in_a_line(arguments: list[str], line: str, picture_run: Path) -> None:
    Path("t.txt").write_text("a dog\n")
    with pytest.raises(UserError, match=line):
        embed([each.replace("RUN", str(picture_run)) for each in arguments])
