"""The local page: what it answers, to whom, and what a browser makes of it."""

import http.client
import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import search
from aligners.base.loading import load_run
from datamodules.base.extracted import ExtractedDataModule
from searching.collection import Collection, of_splits
from searching.finder import Finder
from searching.server import server_of


def started(finder: Finder, *, takes_text: bool = True) -> Iterator[ThreadingHTTPServer]:
    server = server_of(finder, takes_text=takes_text, port=0, top=5)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def server(picture_run: Path) -> Iterator[ThreadingHTTPServer]:
    aligner, data = load_run(picture_run)
    assert isinstance(data, ExtractedDataModule)
    collection = of_splits(aligner, data, "x", "all")
    yield from started(Finder(aligner, collection, asked="y", searched="x", exact_items=1000))


def ask(server: ThreadingHTTPServer, path: str, host: str | None = None) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=30)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.getheader("Content-Type", ""), body


def asked(server: ThreadingHTTPServer, path: str) -> Any:
    status, kind, body = ask(server, path)
    assert (status, kind) == (200, "application/json; charset=utf-8"), body
    return json.loads(body)


def test_it_listens_on_this_machine_alone(server: ThreadingHTTPServer) -> None:
    assert server.socket.getsockname()[0] == "127.0.0.1"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}", ""]
)
@pytest.mark.parametrize("path", ["/", "/search?text=dog", "/item/0", "/page.js"])
def test_another_host_is_refused(server: ThreadingHTTPServer, host: str, path: str) -> None:
    status, _, body = ask(server, path, host.format(port=server.server_port))
    assert (status, json.loads(body)) == (403, {"error": "this page answers to 127.0.0.1 alone"})


def test_this_machine_is_answered_by_both_names(server: ThreadingHTTPServer) -> None:
    for name in ("127.0.0.1", "localhost"):
        assert ask(server, "/", f"{name}:{server.server_port}")[0] == 200


def test_a_text_and_an_item_are_searched(server: ThreadingHTTPServer) -> None:
    found = asked(server, "/search?text=a+dog")
    assert found["of"] == 40
    scores = [item["score"] for item in found["items"]]
    assert len(scores) == 5
    assert scores == sorted(scores, reverse=True)
    near = asked(server, f"/search?like={found['items'][0]['row']}")
    assert near["items"][0]["row"] == found["items"][0]["row"]
    assert near["items"][0]["score"] == pytest.approx(1, abs=1e-5)


def test_a_thumbnail_is_small(server: ThreadingHTTPServer, tmp_path: Path) -> None:
    status, kind, body = ask(server, "/item/3")
    (tmp_path / "i.webp").write_bytes(body)
    with Image.open(tmp_path / "i.webp") as image:
        assert (status, kind, max(image.size) <= 256) == (200, "image/webp", True)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nowhere", 404), ("/../pyproject.toml", 404), ("/search", 400), ("/item/40", 400), ("/item/-1", 400),
     ("/item/%2e%2e", 400), ("/search?like=x", 400), ("/item/%D9%A1", 400)],
)  # fmt: skip
def test_what_there_is_not(server: ThreadingHTTPServer, path: str, status: int) -> None:
    got, kind, body = ask(server, path)
    assert (got, kind) == (status, "application/json; charset=utf-8")
    assert set(json.loads(body)) == {"error"}


def test_sounds_are_played_and_texts_shown(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 16000)
    eye = torch.eye(2)
    for kind, file in (("audio", tmp_path / "a.wav"), ("text", None)):
        collection = Collection(kind, eye, str, str, lambda i, file=file: file)  # type: ignore[misc]
        for server in started(Finder(None, collection, asked="x", searched="x", exact_items=9)):  # type: ignore[arg-type]
            assert asked(server, "/search?like=1")["items"][0]["kind"] == kind
            status, of_item, body = ask(server, "/item/0")
            if file is None:
                assert status == 400
            else:
                assert (status, of_item, body) == (200, "audio/x-wav", file.read_bytes())


def test_a_run_without_texts_has_no_box(picture_run: Path) -> None:
    aligner, data = load_run(picture_run)
    assert isinstance(data, ExtractedDataModule)
    finder = Finder(aligner, of_splits(aligner, data, "x", "test"), asked="x", searched="x", exact_items=9)
    for server in started(finder, takes_text=False):
        assert b'data-text="no"' in ask(server, "/")[2]
        assert ask(server, "/search?text=dog")[0] == 400


def test_a_browser_searches(server: ThreadingHTTPServer) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = which("chromium") or which("chromium-browser") or which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium is installed")
    errors: list[str] = []
    with sync_api.sync_playwright() as player:
        browser = player.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for width in (1280, 390):
            page = browser.new_page(viewport={"width": width, "height": 800})
            page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            page.fill("#text", "a dog <b>")
            page.keyboard.press("Enter")
            page.wait_for_selector("article:nth-of-type(5)")
            page.wait_for_load_state("networkidle")
            assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth)")
            first = page.inner_text("article:nth-of-type(3) div")
            page.click("article:nth-of-type(3) button")
            sync_api.expect(page.locator("article div").first).to_have_text(first)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        browser.close()
    assert errors == []


def test_the_command_serves_until_ctrl_c(picture_run: Path) -> None:
    command = [sys.executable, search.__file__, f"run={picture_run}", "--serve", "port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.match(r"http://127\.0\.0\.1:(\d+)/", process.stdout.readline())
        assert found is not None
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)
        connection.request("GET", "/search?text=a+dog")
        assert len(json.loads(connection.getresponse().read())["items"]) == 10
        connection.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
