"""Serves the app to browsers on this machine alone, through textual-serve: each open page has an app process.

textual-serve runs the processes and speaks with the page. What it leaves to others is done here: its page loads fonts from elsewhere, and
its socket opens for whoever asks, so that any page of the web could drive the app (DNS rebinding, CVE-2024-28224). Every address holds a
random key, Host and Origin must be this server's own, and the page may load nothing from elsewhere.
"""

import asyncio
import hmac
import logging
import os
import re
import secrets
import shlex
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Awaitable, Callable
from contextlib import redirect_stdout, suppress
from pathlib import Path

import psutil
from aiohttp import web
from textual_serve.server import Server

from edgetune.errors import InputError
from edgetune.machine.python_child import child_environment

ADDRESS = "127.0.0.1"
MOST = 8
"""Pages open at once; each is a process."""
CLOSE_SECONDS = 5.0
"""Given to the apps to end."""
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class AppServer(Server):
    """textual-serve's server behind a key. port: 0 for a free one, known once it listens. url: what a browser opens then."""

    def __init__(self, port: int) -> None:
        words = [sys.executable, "-P", "-m", "tui.web"]
        command = subprocess.list2cmdline(words) if os.name == "nt" else "exec " + shlex.join(words)
        super().__init__(command, host=ADDRESS, port=port, title="EdgeTune")
        self.key = secrets.token_urlsafe(24)
        self._open: set[asyncio.Task[object]] = set()

    @property
    def url(self) -> str:
        """The address with the key."""
        return f"http://{ADDRESS}:{self.port}/{self.key}/"

    def allowed(self, request: web.Request) -> bool:
        """Whether a request comes from this machine's own page: Host is exactly ours, and Origin, where there is one, is too."""
        hosts = {f"{name}:{self.port}" for name in (ADDRESS, "localhost")}
        host, origin = request.headers.getall("Host", []), request.headers.getall("Origin", [])
        if len(host) != 1 or host[0] not in hosts:
            return False
        return origin == [f"http://{host[0]}"] or (not origin and request.path.rsplit("/", 1)[-1] != "ws")

    def knows(self, request: web.Request) -> bool:
        """Whether the address begins with the key, compared in a time that does not tell how much of it is right."""
        given = request.path.split("/")[1]
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.key.encode())

    @web.middleware
    async def guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse before anything is done."""
        if not self.allowed(request):
            response: web.StreamResponse = web.Response(status=403, text="This server is for this machine's own page.\n")
        elif not self.knows(request):
            response = web.Response(status=401, text="The address lacks the key. Use the one that 'edgetune --web' has printed.\n")
        else:
            try:
                response = await handler(request)
            except web.HTTPException as refusal:
                refusal.headers.update(HEADERS)
                raise
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    async def _make_app(self) -> web.Application:
        app = web.Application(middlewares=[self.guard])
        routes = [
            web.get(f"/{self.key}/", self.page),
            web.get(f"/{self.key}/page.js", self.script),
            web.get(f"/{self.key}/ws", self.socket),
            web.get(f"/{self.key}/static/css/xterm.css", self.style),
            web.static(f"/{self.key}/static", self.statics_path),
        ]
        app.add_routes(routes)
        app.on_shutdown.append(self.on_shutdown)
        return app

    async def page(self, request: web.Request) -> web.Response:
        """Our own page."""
        text = Path(__file__).with_name("page.html").read_text(encoding="utf-8")
        return web.Response(text=text.replace("SOCKET", f"ws://{request.host}/{self.key}/ws"), content_type="text/html")

    async def script(self, request: web.Request) -> web.Response:
        """Our own script."""
        return web.Response(text=Path(__file__).with_name("page.js").read_text(encoding="utf-8"), content_type="text/javascript")

    async def style(self, request: web.Request) -> web.Response:
        """xterm.js's stylesheet; in its comments are addresses."""
        text = (Path(self.statics_path) / "css" / "xterm.css").read_text(encoding="utf-8")
        return web.Response(text=re.sub(r"https?://", "", text), content_type="text/css")

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """One app, for as long as its page is open."""
        if len(self._open) >= MOST:
            return web.Response(status=503, text=f"{MOST} pages are open already; close one.\n")
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        try:
            return await self.handle_websocket(request)
        finally:
            self._open.discard(task)

    async def on_shutdown(self, app: web.Application) -> None:
        """End the sessions, and with them their processes."""
        for task in self._open:
            task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=CLOSE_SECONDS)
        for process in psutil.Process().children():  # not theirs: what they launched to train goes on
            with suppress(psutil.Error):
                process.kill()

    async def run(self, ready: Callable[[str], None], stop: asyncio.Event) -> None:
        """Listen until asked to stop. ready: gets the address. Raises InputError where the port is taken."""
        runner = web.AppRunner(await self._make_app(), access_log=None, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        try:
            site = web.TCPSite(runner, ADDRESS, self.port)
            try:
                await site.start()
            except OSError as error:
                why = str(error.strerror or error)
                raise InputError(f"Port {self.port} cannot be used", why, "Name another one with --port.") from error
            self.port = runner.addresses[0][1]
            ready(self.url)
            await stop.wait()
        finally:
            await runner.cleanup()


def run_server(port: int, browser: bool) -> int:
    """Serve until Ctrl-C; 130 then. browser: open one. The address goes to stdout, talk to stderr."""
    logging.getLogger("textual-serve").addHandler(logging.NullHandler())
    os.environ.update(child_environment(PYTHONIOENCODING="utf-8"))
    out = sys.stdout

    def ready(url: str) -> None:
        print(url, file=out, flush=True)
        print("Open this address in a browser on this machine; it is a key, so keep it to yourself. Ctrl-C ends it.", file=sys.stderr)
        if browser:
            webbrowser.open(url)

    async def main() -> None:
        stop = asyncio.Event()
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            with suppress(AttributeError, NotImplementedError):  # Windows has neither HUP nor handlers in the loop
                asyncio.get_running_loop().add_signal_handler(getattr(signal, name), stop.set)
        await AppServer(port).run(ready, stop)

    with suppress(KeyboardInterrupt), redirect_stdout(sys.stderr):  # textual-serve prints what an app that broke has said
        asyncio.run(main())
    return 130
