"""A run whose base was moved: the folder where it is now is taken if that very base is there, and everything goes on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetune.gguf.source import from_run
from edgetune.runs import launch, manage
from edgetune.storage.files import sha256
from edgetune.storage.workspace import Run, Workspace
from tests.conftest import Train

Call = Callable[..., tuple[int, str, str]]
SHORT = {"max_steps": 4, "batch_size": 1, "max_length": 256, "quantization": "none", "device": "cpu", "validation_split": 0.0}


@pytest.fixture
def moved(train: Train, facts: Path, nano: Path, tmp_path: Path) -> tuple[Run, Path, Path]:
    """A run half done, whose base was moved: the run, the folder where it was, and where it is."""
    before, now = tmp_path / "base", tmp_path / "elsewhere" / "base"
    shutil.copytree(nano, before)
    run = train("r", base=str(before), data=[str(facts)], **{**SHORT, "max_steps": 2})
    now.parent.mkdir()
    before.rename(now)
    return run, before, now


def test_a_moved_base_is_named_and_the_run_goes_on(moved: tuple[Run, Path, Path], edgetune: Call, workspace: Workspace) -> None:
    run, before, now = moved
    code, _, err = edgetune("export", "r", "--type", "Q8_0")
    assert code == 1 and "edgetune rebase r --base" in err and str(before) in err

    made = {path: sha256(path) for path in (run.recipe_file, run.request_file, run.events)}
    code, _, err = edgetune("rebase", "r", "--base", now)
    assert code == 0 and str(now) in err
    assert all(sha256(path) == digest for path, digest in made.items())

    # Every way on that needs the base.
    code, _, err = edgetune("export", "r", "--type", "Q8_0")
    assert code == 0, err
    assert "proven" in (err + json.dumps(manage.export_records(run))).lower()
    assert from_run(run).model == now
    manage.prepare_resume(run, 4)
    assert json.loads(run.request_file.read_text())["base"] == str(before)
    assert launch.start(run.folder).wait() == 0 and launch.state(run).step == 4
    code, _, err = edgetune("train", "--from", "r", "--data", run.request()["data"][0], "--dry-run", "--quantization", "none")
    assert code == 0, err
    code, out, _ = edgetune("show", "r")
    assert code == 0 and str(now) in out
    assert not [path for path in manage.prunable(workspace) if path == run.moved_base_file]
    assert manage.rename_run(workspace, "r", "s").request()["base"] == str(now)


def test_another_model_is_refused_with_what_differs(moved: tuple[Run, Path, Path], edgetune: Call) -> None:
    run, before, now = moved
    template = now / "chat_template.jinja"
    other = Path(shutil.copytree(now, before.parent / "other"))
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-6}))
    (other / "tokenizer.json").unlink()
    code, _, err = edgetune("rebase", "r", "--base", other)
    assert code == 2 and "config.json differs" in err and "tokenizer.json is not there" in err and "safetensors" not in err
    assert not run.moved_base_file.exists() and template.exists() == (before.parent / "other" / template.name).exists()

    # Runs of version 0.1 noted one hash of all files.
    request = json.loads(run.request_file.read_text())
    request.pop("base_files")
    run.request_file.write_text(json.dumps(request))
    code, _, err = edgetune("rebase", "r", "--base", other)
    assert code == 2 and "another hash" in err
    assert edgetune("rebase", "r", "--base", now)[0] == 0 and run.request()["base"] == str(now)


def test_other_runs_of_the_same_base_are_named(moved: tuple[Run, Path, Path], edgetune: Call) -> None:
    run, _, now = moved
    for name in ("second", "third"):
        shutil.copytree(run.folder, run.folder.parent / name)
    code, _, err = edgetune("rebase", "r", "--base", now)
    assert code == 0 and "edgetune rebase second third --base" in err
    assert edgetune("rebase", "second", "third", "--base", now)[0] == 0
    assert Run(run.folder.parent / "third").request()["base"] == str(now)
