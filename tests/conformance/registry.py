"""A registry that has no images: it answers every question with the same refusal."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_CODES = {404: "MANIFEST_UNKNOWN", 403: "DENIED", 429: "TOOMANYREQUESTS"}


class Registry:
    """Serves on loopback, where container runtimes speak plain HTTP.

    Parameters
    ----------
    status
        HTTP status of every answer about an image.
    slow
        Whether answers wait for :meth:`answer`.

    """

    def __init__(self, status: int, *, slow: bool = False) -> None:
        self._released = threading.Event()
        if not slow:
            self._released.set()
        released = self._released

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                released.wait(120)
                body = f'{{"errors": [{{"code": "{_CODES[status]}", "message": "no"}}]}}'.encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 - the name is http.server's

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        """Host and port, as the first part of an image's name."""
        return f"localhost:{self._server.server_port}"

    def answer(self) -> None:
        """Let the answers go."""
        self._released.set()

    def __enter__(self) -> Registry:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
