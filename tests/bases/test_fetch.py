"""`edgetune fetch` against a hub on loopback: whole or nothing, resumed, verified, gated, refused, and offline again afterwards."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from edgetune.storage.workspace import Workspace
from tests.bases.small_hub import COMMIT, SmallHub
from tests.conftest import ROOT

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hub(nano: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallHub]:
    """The bundled model on a hub, with a pickle and code beside it."""
    server = SmallHub(nano)
    server.files |= {"pytorch_model.bin": b"pickle", "modeling_small.py": b"print('code')", "README.md": b"# small"}
    monkeypatch.setenv("HF_ENDPOINT", server.url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    yield server
    server.shutdown()
    server.server_close()


def test_a_model_comes_whole_and_offline_is_back_after_it(hub: SmallHub, edgetune: Call, workspace: Workspace, nano: Path) -> None:
    code, out, err = edgetune("fetch", "acme/small", "--yes", "--json")
    assert code == 0, err
    document = json.loads(out)
    target = workspace.bases / "acme--small"
    assert document["base"] == str(target) and document["commit"] == COMMIT and document["licence"] == "mit"
    assert (document["skipped"]["pytorch_model.bin"], document["skipped"]["modeling_small.py"]) == ("pickle", "code")
    for name in ("model.safetensors", "config.json", "tokenizer.json"):
        assert (target / name).read_bytes() == (nano / name).read_bytes()
    assert not [p for p in target.iterdir() if p.suffix in (".py", ".bin")]
    assert "pytorch_model.bin" in err and "modeling_small.py" in err and hub.url in err and "license: mit" in err
    agents = {headers.get("user-agent", "") for _, headers in hub.seen}
    assert all("torch" not in agent and "agent/" not in agent for agent in agents)
    assert all(path.startswith(("/api/models/acme/small", "/acme/small/")) for path, _ in hub.seen)
    listed = json.loads(edgetune("bases", "--json")[1])
    assert str(target) in [base["path"] for base in listed]
    from huggingface_hub import HfApi, errors

    with pytest.raises(errors.OfflineModeIsEnabled):
        HfApi(endpoint=hub.url).model_info("acme/small")
    assert edgetune("fetch", "acme/small", "--yes")[0] == 2


def test_a_dry_run_says_what_would_come_and_fetches_nothing(hub: SmallHub, edgetune: Call, workspace: Workspace) -> None:
    code, out, _ = edgetune("fetch", "acme/small", "--dry-run", "--json")
    plan = json.loads(out)
    assert code == 0 and plan["commit"] == COMMIT and plan["from"] == f"{hub.url}/acme/small" and plan["licence"] == "mit"
    assert plan["bytes"] > 10**6 and plan["have"] == 0 and plan["skipped"]["pytorch_model.bin"] == "pickle"
    assert not workspace.path.exists() and not any("resolve" in path for path, _ in hub.seen)


def test_without_a_terminal_it_needs_a_yes(hub: SmallHub, edgetune: Call, workspace: Workspace) -> None:
    code, _, err = edgetune("fetch", "acme/small")
    assert code == 2 and "--yes" in err and not workspace.path.exists()
    assert not any("resolve" in path for path, _ in hub.seen)


def test_a_cut_connection_is_taken_up_where_it_broke(hub: SmallHub, edgetune: Call, workspace: Workspace, nano: Path) -> None:
    hub.cut, hub.cuts = 1_000_000, 1
    code, _, err = edgetune("fetch", "acme/small", "--yes")
    assert code == 0, err
    ranges = [headers["range"] for path, headers in hub.seen if path.endswith("model.safetensors") and "range" in headers]
    assert ranges and 0 < int(ranges[0].removeprefix("bytes=").rstrip("-")) <= 1_000_000
    assert (workspace.bases / "acme--small" / "model.safetensors").read_bytes() == (nano / "model.safetensors").read_bytes()


def test_a_model_that_another_process_fetches_is_left_to_it(hub: SmallHub, edgetune: Call, workspace: Workspace) -> None:
    unfinished = workspace.fetch_cache / f"acme--small@{COMMIT}"
    unfinished.mkdir(parents=True)
    with FileLock(workspace.fetch_cache / f".{unfinished.name}.lock"):
        code, _, err = edgetune("fetch", "acme/small", "--yes")
        assert code == 1 and "is being fetched already" in err
        assert str(unfinished) not in json.loads(edgetune("prune", "--json")[1])["paths"]
    assert str(unfinished) in json.loads(edgetune("prune", "--json")[1])["paths"]
    assert edgetune("fetch", "acme/small", "--yes")[0] == 0


def test_a_damaged_file_is_fetched_anew_then_refused_by_name(hub: SmallHub, edgetune: Call, workspace: Workspace) -> None:
    hub.claimed["model.safetensors"] = "0" * 64
    code, _, err = edgetune("fetch", "acme/small", "--yes")
    assert code == 1 and "model.safetensors is damaged" in err
    assert sum(path.endswith("model.safetensors") for path, _ in hub.seen) == 2
    assert not (workspace.bases / "acme--small").exists() and not list(workspace.path.rglob("model.safetensors*"))
    hub.claimed.clear()
    assert edgetune("fetch", "acme/small", "--yes")[0] == 0


def test_a_leftover_that_was_damaged_is_found(hub: SmallHub, edgetune: Call, workspace: Workspace, nano: Path) -> None:
    unfinished = workspace.fetch_cache / f"acme--small@{COMMIT}"
    unfinished.mkdir(parents=True)
    content = bytearray((nano / "model.safetensors").read_bytes())
    content[100_000] ^= 1
    (unfinished / "model.safetensors.unfinished").write_bytes(content[:200_000])
    assert edgetune("fetch", "acme/small", "--yes")[0] == 0
    assert (workspace.bases / "acme--small" / "model.safetensors").read_bytes() == (nano / "model.safetensors").read_bytes()


def test_a_gated_model_is_explained_and_the_token_never_shown(hub: SmallHub, edgetune: Call, workspace: Workspace, tmp_path: Path) -> None:
    hub.gated, hub.token = "manual", "hf_right"
    code, out, err = edgetune("fetch", "acme/small", "--yes")
    assert code == 1 and "gated" in err and "HF_TOKEN" in err and f"{hub.url}/acme/small" in err
    secret = tmp_path / "token"
    secret.write_text("hf_wrong\n", encoding="utf-8")
    code, out, err = edgetune("fetch", "acme/small", "--yes", "--token-file", secret)
    assert code == 1 and "no access" in err and "hf_wrong" not in out + err
    secret.write_text("hf_right\n", encoding="utf-8")
    code, out, err = edgetune("fetch", "acme/small", "--yes", "--token-file", secret)
    assert code == 0 and "hf_right" not in out + err
    assert all(b"hf_right" not in p.read_bytes() for p in workspace.path.rglob("*") if p.is_file())


@pytest.mark.parametrize("arguments", [["acme/other"], ["acme/small", "--revision", "v9"], ["small"], ["../small"], ["a/../b"]])
def test_what_does_not_exist_is_refused(arguments: list[str], hub: SmallHub, edgetune: Call, workspace: Workspace) -> None:
    code, out, err = edgetune("fetch", *arguments, "--yes")
    assert code == 2 and out == "" and "do:" in err and "Traceback" not in err and not workspace.path.exists()


def test_a_model_of_pickles_alone_is_refused(hub: SmallHub, edgetune: Call, workspace: Workspace) -> None:
    del hub.files["model.safetensors"]
    code, _, err = edgetune("fetch", "acme/small", "--yes")
    assert code == 2 and "pytorch_model.bin" in err and "pickles" in err and not workspace.path.exists()


@pytest.mark.parametrize("name", ["../evil.safetensors", "/evil.safetensors", "..\\evil.safetensors", "a/../../evil.json", "C:evil.json"])
def test_names_that_leave_the_folder_are_refused(name: str, hub: SmallHub, edgetune: Call, workspace: Workspace) -> None:
    hub.files[name] = b"x"
    code, _, err = edgetune("fetch", "acme/small", "--yes")
    assert code == 2 and "outside its folder" in err and not workspace.path.exists()


def test_a_full_disk_is_refused_beforehand(hub: SmallHub, edgetune: Call, workspace: Workspace) -> None:
    hub.sizes["model.safetensors"] = 10**16
    code, _, err = edgetune("fetch", "acme/small", "--yes")
    assert code == 1 and "Not enough disk space" in err and not any("resolve" in path for path, _ in hub.seen)


def test_more_bytes_than_announced_are_not_written(hub: SmallHub, edgetune: Call, workspace: Workspace) -> None:
    hub.sizes["model.safetensors"] = 1000
    code, _, err = edgetune("fetch", "acme/small", "--yes")
    assert code == 1 and "larger than the server announced" in err
    assert all(p.stat().st_size <= 1000 for p in workspace.path.rglob("model.safetensors*"))


def test_ctrl_c_keeps_what_came_and_the_next_try_goes_on(hub: SmallHub, workspace: Workspace, edgetune: Call) -> None:
    hub.cut, hub.cuts = 500_000, 100
    environment = {**os.environ, "HF_ENDPOINT": hub.url}
    command = [sys.executable, "-m", "edgetune", "fetch", "acme/small", "--yes"]
    child = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not any("range" in headers for _, headers in hub.seen) and time.monotonic() < deadline:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130 and out == "" and "resumes from there" in err and "Traceback" not in err
    assert not workspace.bases.exists()
    sizes = [p.stat().st_size for p in workspace.fetch_cache.rglob("model.safetensors.unfinished")]
    assert len(sizes) == 1 and sizes[0] > 0
    hub.cuts = 0
    hub.seen.clear()
    assert edgetune("fetch", "acme/small", "--yes")[0] == 0
    assert f"bytes={sizes[0]}-" in [headers.get("range") for path, headers in hub.seen if path.endswith("model.safetensors")]


def test_without_a_name_it_lists_models_and_uses_no_network(hub: SmallHub, edgetune: Call) -> None:
    code, out, _ = edgetune("fetch", "--json")
    rows = json.loads(out)
    assert code == 0 and len(rows) == 12 and all(row["licence"] and row["machine"] and row["bytes"] > 1e8 for row in rows)
    assert not hub.seen
