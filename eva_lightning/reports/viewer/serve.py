"""One page over HTTP, to a browser on this machine: 127.0.0.1, one address, nothing else."""

from __future__ import annotations

from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from eva_lightning.faults import UsageError


class PageServer(ThreadingHTTPServer):
    """Answers GET / with the page; every other request is refused.

    The port is taken at once, the page may come later: until `serve_forever` nobody is answered.
    """

    daemon_threads = True
    page = b""
    """The page, as UTF-8."""

    def __init__(self, port: int = 0) -> None:
        """
        Args:
            port: Port to listen on; 0 takes a free one.
        """
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as problem:
            raise UsageError(f"port {port}: {problem}; name another --port, or none for a free one") from None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(BaseHTTPRequestHandler):
    server: PageServer

    def do_GET(self) -> None:
        # Another site may point its own name at 127.0.0.1 to read what is served here: Host then says so.
        host = self.headers.get("Host", "").partition(":")[0]
        if host not in ("127.0.0.1", "localhost") or self.path != "/":
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(self.server.page)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(self.server.page)

    def log_message(self, format: str, *args: object) -> None:
        """The terminal is for the address, not for requests."""
