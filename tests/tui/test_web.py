"""The app in a browser: who gets in, what the page loads, and that the app comes over the socket and ends with the server."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import aiohttp
import psutil
import pytest

from tests.conftest import ROOT

FOREIGN = re.compile(rb"(https?:)?//(?!127\.0\.0\.1|www\.w3\.org/)[a-z0-9-]+\.[a-z]{2,}", re.IGNORECASE)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address with the key, and the process behind it."""
    folder = tmp_path_factory.mktemp("web")
    variables = {
        **os.environ,
        "EDGETUNE_WORKSPACE": str(folder / "workspace"),
        "HF_HUB_CACHE": str(folder / "none"),
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "edgetune", "--web"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=variables, cwd=folder)
    assert process.stdout is not None
    yield process.stdout.readline().strip(), process
    process.kill()
    process.wait()


def status(address: str, path: str = "", **headers: str) -> int:
    async def ask() -> int:
        async with aiohttp.ClientSession() as session, session.get(address + path, headers=headers, allow_redirects=False) as answer:
            return answer.status

    return asyncio.run(ask())


def socket(address: str, **headers: str) -> tuple[int, bytes]:
    """What opening the socket gives: the status of a refusal, or 101 and the first screen."""

    async def ask() -> tuple[int, bytes]:
        async with aiohttp.ClientSession() as session:
            try:
                async with session.ws_connect(f"{address}ws?width=90&height=30".replace("http:", "ws:"), headers=headers) as ws:
                    seen = b""
                    while b"No runs yet" not in seen:
                        message = await ws.receive(timeout=60)
                        assert message.type == aiohttp.WSMsgType.BINARY, message
                        seen += message.data
                    return 101, seen
            except aiohttp.WSServerHandshakeError as refusal:
                return refusal.status, b""

    return asyncio.run(ask())


def origin(address: str) -> str:
    return "/".join(address.split("/")[:3])


def test_it_listens_on_this_machine_alone(server: tuple[str, subprocess.Popen[str]]) -> None:
    address, process = server
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
    listening = [one.laddr.ip for one in psutil.Process(process.pid).net_connections() if one.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]


def test_without_the_key_nothing_is_given(server: tuple[str, subprocess.Popen[str]]) -> None:
    address, _ = server
    base = origin(address)
    assert status(address) == 200
    wrong = address[:-2] + ("A" if address[-2] != "A" else "B")
    for path in ("", "/", "/ws", "/static/js/textual.js", "/x/static/js/textual.js", "/é/", "/../", "//", wrong.removeprefix(base) + "/"):
        assert status(base, path, Origin=base) == 401, path
    for place in (base + "/", wrong + "/"):
        assert socket(place, Origin=base)[0] == 401
    assert status(address, "nothing") == 404


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost", "127.0.0.1.evil.example:{port}", "evil.example:{port}"]
)
def test_a_foreign_host_is_refused(server: tuple[str, subprocess.Popen[str]], host: str) -> None:
    address, _ = server
    said = host.format(port=origin(address).rsplit(":", 1)[1])
    assert status(address, Host=said) == 403
    assert socket(address, Host=said, Origin=f"http://{said}")[0] == 403


@pytest.mark.parametrize(
    "who", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1", "http://localhost:{port}", "", None]
)
def test_a_foreign_origin_is_refused_before_the_socket_opens(server: tuple[str, subprocess.Popen[str]], who: str | None) -> None:
    address, process = server
    headers = {} if who is None else {"Origin": who.format(port=origin(address).rsplit(":", 1)[1])}
    assert socket(address, **headers)[0] == 403
    assert psutil.Process(process.pid).children() == [], "no app was started"
    if who is not None:
        assert status(address, **headers) == 403


def test_page_and_files_name_no_foreign_address(server: tuple[str, subprocess.Popen[str]]) -> None:
    address, _ = server

    async def fetch() -> dict[str, tuple[bytes, str]]:
        found = {}
        async with aiohttp.ClientSession() as session:
            names = ["", "page.js", "static/js/textual.js", "static/css/xterm.css"]
            for name in names:
                async with session.get(address + name) as answer:
                    assert answer.status == 200, name
                    found[name] = (await answer.read(), answer.headers["Content-Security-Policy"])
            linked = re.findall(r'(?:src|href)="([^"]+)"|url\("([^"]+)"\)', found[""][0].decode())
            for name in [one or other for one, other in linked]:
                if not name.startswith("data:"):
                    async with session.get(address + name) as answer:
                        assert answer.status == 200 and name in (*names, *[n for n in [name] if "fonts/" in n]), name
        return found

    for name, (text, policy) in asyncio.run(fetch()).items():
        assert not FOREIGN.search(text), (name, FOREIGN.search(text))
        assert "default-src 'none'" in policy and "http" not in policy


def test_the_first_screen_comes_and_the_app_ends_with_its_page_and_with_the_server(server: tuple[str, subprocess.Popen[str]]) -> None:
    address, process = server
    parent = psutil.Process(process.pid)
    code, seen = socket(address, Origin=origin(address))
    assert code == 101 and b"EdgeTune" in seen and "╭".encode() in seen
    psutil.wait_procs(parent.children(), timeout=30)
    assert parent.children() == [], "the app ends with its page"

    async def leave_open() -> list[psutil.Process]:
        place, headers = f"{address}ws".replace("http:", "ws:"), {"Origin": origin(address)}
        async with aiohttp.ClientSession() as session, session.ws_connect(place, headers=headers) as ws:
            await ws.receive(timeout=60)
            apps = parent.children()
            process.send_signal(signal.SIGINT)
            while not ws.closed:
                await ws.receive(timeout=60)
            return apps

    apps = asyncio.run(leave_open())
    assert process.wait(60) == 130 and len(apps) == 1
    assert not psutil.wait_procs(apps, timeout=30)[1]


def test_wrong_words_and_a_missing_package_are_said() -> None:
    def said(code: str) -> str:
        run = f"import sys; sys.argv = ['edgetune', *{code!r}.split()]\nfrom edgetune.__main__ import main\nmain()"
        blocked = "import sys; sys.modules['textual_serve'] = None\n" if "8999" in code else ""
        done = subprocess.run([sys.executable, "-c", blocked + run], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False)
        assert done.returncode in (1, 2) and "Traceback" not in done.stderr and not done.stdout
        return done.stderr

    assert "--web cannot be combined with a command" in said("--web runs")
    assert "belong to --web" in said("--port 80")
    assert 'pip install "textual-serve' in said("--web --port 8999")
