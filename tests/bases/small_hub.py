"""A small hub on loopback: the routes that huggingface_hub calls for a listing and a file, with faults that can be switched on."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class SmallHub(ThreadingHTTPServer):
    """One model, `acme/small`. cut: bytes of the weights after which the connection breaks, as often as `cuts` says."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.is_file()}
        self.sizes: dict[str, int] = {}
        self.claimed: dict[str, str] = {}
        self.gated: str | bool = False
        self.token = ""
        self.cut = self.cuts = 0
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.after: Any = None
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def listing(self) -> dict[str, Any]:
        """The model's record, as api/models gives it with blobs=true."""
        siblings = []
        for name, content in self.files.items():
            size = self.sizes.get(name, len(content))
            blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
            item: dict[str, Any] = {
                "rfilename": name,
                "size": size,
                "blobId": blob,
            }
            if name.endswith((".safetensors", ".bin")):
                digest = self.claimed.get(name) or hashlib.sha256(content).hexdigest()
                item["lfs"] = {"sha256": digest, "size": size, "pointerSize": 130}
            siblings.append(item)
        facts = {"id": "acme/small", "modelId": "acme/small", "sha": COMMIT, "private": False, "gated": self.gated}
        return {**facts, "tags": [], "cardData": {"license": "mit"}, "siblings": siblings}


class _Handler(BaseHTTPRequestHandler):
    server: SmallHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        """A listing or a file."""
        hub, path = self.server, unquote(urlsplit(self.path).path)
        hub.seen.append((path, {k.lower(): v for k, v in self.headers.items()}))
        if path in ("/api/models/acme/small", f"/api/models/acme/small/revision/{COMMIT}", "/api/models/acme/small/revision/main"):
            self._answer(200, json.dumps(hub.listing()).encode(), Content_Type="application/json")
        elif path.startswith("/api/models/acme/small/revision/"):
            self._answer(404, b"{}", X_Error_Code="RevisionNotFound")
        elif path.startswith(f"/acme/small/resolve/{COMMIT}/"):
            self._file(path.rsplit("/", 1)[1])
        else:
            self._answer(404, b"{}", X_Error_Code="RepoNotFound")

    def _file(self, name: str) -> None:
        hub = self.server
        if hub.gated and self.headers.get("Authorization") != f"Bearer {hub.token}":
            self._answer(403 if self.headers.get("Authorization") else 401, b"{}", X_Error_Code="GatedRepo")
            return
        content = hub.files[name]
        start = int(self.headers["Range"].removeprefix("bytes=").split("-")[0]) if "Range" in self.headers else 0
        body = content[start:]
        if name.endswith(".safetensors") and hub.cuts:
            hub.cuts -= 1
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: hub.cut])
            self.wfile.flush()
            self.close_connection = True
            if hub.after:
                hub.after()
            return
        extra = {"Content_Range": f"bytes {start}-{len(content) - 1}/{len(content)}"} if start else {}
        self._answer(206 if start else 200, body, **extra)
