"""A local page to search with: on 127.0.0.1 alone, for requests that name this machine and no other host."""

import io
import json
import mimetypes
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from PIL import Image

from ground.errors import UserError
from searching.finder import Finder, Found

HERE = Path(__file__).parent
ADDRESS = "127.0.0.1"
SIDE = 256
"""Pixels of the longer side of a thumbnail."""
POLICY = (
    "default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; script-src 'self'; "
    "connect-src 'self'"
)
LONGEST = 2000
"""Characters of a query."""


def serve(finder: Finder, *, takes_text: bool, port: int, top: int) -> None:
    """Serve the page until Ctrl-C.

    Raises:
        UserError: the port is taken.
    """
    server = server_of(finder, takes_text=takes_text, port=port, top=top)
    print(f"http://{ADDRESS}:{server.server_port}/  (Ctrl-C ends it)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def server_of(finder: Finder, *, takes_text: bool, port: int, top: int) -> ThreadingHTTPServer:
    """The server, which listens and does not serve yet; ``port`` 0 is any that is free.

    Raises:
        UserError: the port is taken.
    """
    lock = threading.Lock()  # encoders are not made for several threads

    class Handler(_Handler):
        pass

    Handler.finder, Handler.takes_text, Handler.top, Handler.lock = finder, takes_text, top, lock
    try:
        return ThreadingHTTPServer((ADDRESS, port), Handler)
    except OSError as error:
        raise UserError(f"cannot listen on {ADDRESS}:{port}: {error.strerror}; set another port, 0 is any") from error


class _Handler(BaseHTTPRequestHandler):
    """Answers to ``/``, ``/page.js``, ``/search?text=...``, ``/search?like=ROW`` and ``/item/ROW``."""

    finder: Finder
    takes_text: bool
    top: int
    lock: threading.Lock
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece: a second one waits 40 ms for the receipt of the first

    def do_GET(self) -> None:
        port = self.connection.getsockname()[1]
        # a page elsewhere whose name is made to lead here asks under its own name
        if self.headers.get("Host") not in {f"{name}:{port}" for name in (ADDRESS, "localhost")}:
            self._json({"error": "this page answers to 127.0.0.1 alone"}, HTTPStatus.FORBIDDEN)
            return
        place = urlsplit(self.path)
        try:
            if place.path == "/":
                page = (HERE / "page.html").read_text(encoding="utf-8")
                if not self.takes_text:
                    page = page.replace('<html lang="en">', '<html lang="en" data-text="no">')
                self._send(page.encode(), "text/html; charset=utf-8")
            elif place.path == "/page.js":
                self._send((HERE / "page.js").read_bytes(), "text/javascript; charset=utf-8")
            elif place.path == "/search":
                self._json(self._found({key: values[0] for key, values in parse_qs(place.query).items()}))
            elif place.path.startswith("/item/"):
                self._item(self._row(place.path.removeprefix("/item/")))
            else:
                self._json({"error": "there is no such page"}, HTTPStatus.NOT_FOUND)
        except UserError as error:
            self._json({"error": str(error)}, HTTPStatus.BAD_REQUEST)
        except (BrokenPipeError, ConnectionResetError):  # the reader has gone
            self.close_connection = True

    def _found(self, query: dict[str, str]) -> dict[str, Any]:
        with self.lock:
            if "like" in query:
                found = self.finder.like(self._row(query["like"]), self.top)
            elif "text" in query and self.takes_text:
                found = self.finder.find([query["text"][:LONGEST]], self.top)
            else:
                raise UserError("ask with text=... or like=ROW")
        return {"of": len(self.finder.collection.embeddings), "items": [self._told(each) for each in found]}

    def _told(self, found: Found) -> dict[str, Any]:
        collection = self.finder.collection
        return {
            "row": found.row, "score": found.score, "name": collection.name(found.row), "kind": collection.kind,
        }  # fmt: skip

    def _row(self, text: str) -> int:
        n = len(self.finder.collection.embeddings)
        if not (text.isascii() and text.isdecimal() and int(text) < n):
            raise UserError(f"an item is a number below {n}, got '{text}'")
        return int(text)

    def _item(self, row: int) -> None:
        collection = self.finder.collection
        if collection.kind == "image":
            shown = collection.show(row)
            assert isinstance(shown, Image.Image)
            small = shown.convert("RGB")
            small.thumbnail((SIDE, SIDE))
            file = io.BytesIO()
            small.save(file, "WEBP", quality=80)
            self._send(file.getvalue(), "image/webp")
            return
        path = collection.file(row) if collection.kind == "audio" else None
        if path is None or not path.is_file():
            raise UserError(f"item {row} has no picture and no sound")
        self._send(path.read_bytes(), mimetypes.guess_type(path.name)[0] or "application/octet-stream")

    def _json(self, value: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(json.dumps(value, ensure_ascii=False).encode(), "application/json; charset=utf-8", status)

    def _send(self, body: bytes, kind: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind), ("Content-Length", str(len(body))), ("Content-Security-Policy", POLICY),
            ("X-Content-Type-Options", "nosniff"), ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cache-Control", "no-store"),
        ):  # fmt: skip
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a search is not logged."""
