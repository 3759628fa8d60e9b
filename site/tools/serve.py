"""A static server for dist/ that behaves like a plain host: right media types, validators, optional Pages-like caching.

Standalone: ``python site/tools/serve.py dist --port 8000``; prints ``http://127.0.0.1:<port>/`` when it listens.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import http.server
import sys
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".webmanifest": "application/manifest+json",
    ".whl": "application/octet-stream",
    ".zip": "application/zip",
}
COMPRESSED = (".css", ".html", ".js", ".json", ".mjs", ".svg", ".txt", ".wasm", ".webmanifest")


@lru_cache(maxsize=256)
def read(path: Path, modified: float, compress: bool) -> tuple[bytes, str]:
    """The body, gzipped when asked, and its entity tag. ``modified`` is part of the cache's key."""
    data = path.read_bytes()
    tag = hashlib.sha256(data).hexdigest()[:20]
    return (gzip.compress(data, 6, mtime=0) if compress else data), f'"{tag}{"-gz" if compress else ""}"'


class Server(http.server.ThreadingHTTPServer):
    """One thread a connection; a browser that hangs up is no error of ours."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class Handler(http.server.BaseHTTPRequestHandler):
    """GET and HEAD below one folder and, when given, below one path prefix."""

    protocol_version = "HTTP/1.1"
    folder: Path
    prefix = "/"
    max_age = 0
    log: Path | None = None

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def answer(self, *, body: bool) -> None:
        path = self.find()
        if path is None:
            self.send(404, b"not found\n", {"Content-Type": "text/plain"}, body)
            return
        compress = path.suffix in COMPRESSED and "gzip" in self.headers.get("Accept-Encoding", "")
        data, tag = read(path, path.stat().st_mtime, compress)
        headers = {
            "Content-Type": MEDIA_TYPES.get(path.suffix, "application/octet-stream"),
            "Cache-Control": f"max-age={self.max_age}" if self.max_age else "no-cache",
            "ETag": tag,
            "Vary": "Accept-Encoding",
        }
        if compress:
            headers["Content-Encoding"] = "gzip"
        if tag in self.headers.get("If-None-Match", ""):
            self.send(304, b"", headers, False)
            return
        self.send(200, data, headers, body)

    def find(self) -> Path | None:
        """The file that the request names, or None; never one outside the folder."""
        path = unquote(urlsplit(self.path).path)
        if not path.startswith(self.prefix):
            return None
        found = (self.folder / path.removeprefix(self.prefix)).resolve()
        if found.is_dir():
            found = found / "index.html"
        inside = found.is_relative_to(self.folder)
        return found if inside and found.is_file() else None

    def send(self, status: int, data: bytes, headers: dict[str, str], body: bool) -> None:
        if self.log:
            with self.log.open("a", encoding="utf-8") as log:
                log.write(f"{status} {len(data)} {self.path}\n")
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if body:
                self.wfile.write(data)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the browser's network panel says more."""


def serve(folder: Path, host: str, port: int, prefix: str = "/", max_age: int = 0, log: Path | None = None) -> None:
    """Serve until interrupted. Port 0 takes a free one. Prints the address first."""
    attributes = {"folder": folder.resolve(), "prefix": prefix, "max_age": max_age, "log": log}
    handler = type("SiteHandler", (Handler,), attributes)
    with Server((host, port), handler) as server:
        print(f"http://{host}:{server.server_address[1]}{prefix}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()


def main(words: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--prefix", default="/", help="path below which the site lives, e.g. /compute-gauge/")
    parser.add_argument("--max-age", type=int, default=0, help="seconds that browsers may reuse a file; 600 is what Pages says")
    parser.add_argument("--log", type=Path, help="append one line a request: status, bytes, path")
    options = parser.parse_args(words)
    serve(options.folder, options.host, options.port, options.prefix, options.max_age, options.log)


if __name__ == "__main__":
    main(sys.argv[1:])
