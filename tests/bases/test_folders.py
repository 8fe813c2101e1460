"""Folders of the user's own: `edgetune bases --add` and `--drop`, and what a file that makes no sense does."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetune.bases import folders
from edgetune.storage.workspace import Workspace

Call = Callable[..., tuple[int, str, str]]


def test_bases_in_a_folder_that_was_added_are_found_until_it_is_dropped(
    edgetune: Call, workspace: Workspace, nano: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "no-cache"))
    shutil.copytree(nano, tmp_path / "models" / "mine")

    def names(*arguments: object) -> list[str]:
        code, out, _ = edgetune("bases", *arguments, "--json")
        assert code == 0
        return [base["name"] for base in json.loads(out)]

    assert [names(), names("--add", tmp_path / "models"), names()] == [["nano"], ["nano", "mine"], ["nano", "mine"]]
    monkeypatch.chdir(tmp_path)
    assert names("--add", "models", "models") == ["nano", "mine"], "named and added twice, it is still one"
    assert folders.listed_folders(workspace) == [str(tmp_path / "models")]
    assert names("--drop", "models") == ["nano"] and (tmp_path / "models" / "mine").is_dir()


@pytest.mark.parametrize(("flag", "why"), [("--add", "is not a folder"), ("--drop", "is not one of the folders")])
def test_folders_that_cannot_be(edgetune: Call, workspace: Workspace, tmp_path: Path, flag: str, why: str) -> None:
    code, out, err = edgetune("bases", flag, tmp_path / "nowhere")
    assert code == 2 and out == "" and why in err and "do:" in err
    assert why in json.loads(edgetune("bases", flag, tmp_path / "nowhere", "--json")[1])["error"]["title"]
    assert folders.listed_folders(workspace) == []


@pytest.mark.parametrize("text", ["", "{", "{}", "[1, null]", '"x"'])
def test_a_file_that_makes_no_sense_names_none(workspace: Workspace, text: str) -> None:
    workspace.path.mkdir(parents=True)
    (workspace.path / "folders.json").write_text(text, encoding="utf-8")
    assert folders.listed_folders(workspace) == [] and folders.search_folders(workspace) == [workspace.bases, workspace.path / "models"]
