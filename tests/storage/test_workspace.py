"""The workspace's runs, listed while others change them."""

import threading

from edgetune.storage.workspace import Workspace


def test_a_run_that_is_renamed_while_runs_are_listed_is_no_error(workspace: Workspace) -> None:
    here, there = workspace.runs_folder / "here", workspace.runs_folder / "there"
    here.mkdir(parents=True)
    (here / "request.json").write_text("{}", encoding="utf-8")
    (workspace.runs_folder / "a file").write_text("", encoding="utf-8")
    listed = threading.Event()

    def back_and_forth() -> None:
        while not listed.is_set():
            here.rename(there)
            there.rename(here)

    other = threading.Thread(target=back_and_forth)
    other.start()
    try:
        for _ in range(2000):
            assert {run.name for run in workspace.runs()} <= {"here", "there"}
    finally:
        listed.set()
        other.join()
    assert [run.name for run in workspace.runs()] == ["here"]
