"""A ranking and an arena with loaded models: left while answers are written, resumed with every vote, their plans read back."""

from dataclasses import replace
from pathlib import Path

import pytest

from edgetune.errors import InputError
from edgetune.sessions.live_arena import LiveArena
from edgetune.sessions.live_ranking import LiveRanking
from edgetune.sessions.live_session import PersonLeft
from edgetune.sessions.models import Model
from edgetune.sessions.vote_plan import VotePlan, load_plan
from edgetune.storage.workspace import Workspace


@pytest.fixture
def plan(files: dict[str, Path], tmp_path: Path) -> VotePlan:
    """Two models, three questions of a file."""
    questions = tmp_path / "questions.txt"
    questions.write_text("".join(f"What is the opposite of {word}?\n" for word in ("hot", "big", "fast")), encoding="utf-8")
    models = [Model("file", str(files[kind])) for kind in ("F32", "Q4_0")]
    return VotePlan(models, "file", str(questions), count=2, max_tokens=40)


def test_a_ranking_that_is_left_resumes_with_its_votes(plan: VotePlan, files: dict[str, Path], workspace: Workspace) -> None:
    paths = [files["F32"], files["Q4_0"]]
    ranking = LiveRanking(workspace, plan)
    with pytest.raises(InputError, match="No model is loaded"):
        ranking.next()
    try:
        ranking.open(paths)
        task, state = ranking.next()
        assert task is not None and state.done == 0 and len(ranking.progress().texts) == 2
        vote = ranking.vote("2")
        ranking.leave()
        with pytest.raises(PersonLeft):
            ranking.next()
    finally:
        ranking.close()
    resumed = LiveRanking(workspace, plan)
    try:
        resumed.open(paths)
        following, state = resumed.next()
        assert following is not None and following.prompt != task.prompt and state.done == 1
        assert resumed.undo() == vote and not resumed.store.votes()
    finally:
        resumed.close()


def test_an_arena_that_is_left_while_it_writes_has_saved_nothing(plan: VotePlan, files: dict[str, Path], workspace: Workspace) -> None:
    arena = LiveArena(workspace, replace(plan, limit=2, into="arena"))
    arena.open([files["F32"], files["Q4_0"]])
    seen: list[tuple[int, int, int]] = []
    assert arena.write(lambda *progress: seen.append(progress)) == 0 and seen == [(1, 1, 2), (1, 2, 2), (2, 1, 2), (2, 2, 2)]
    left = LiveArena(workspace, replace(plan, into="arena"))
    left.open([files["F32"], files["Q4_0"]])
    left.leave()
    with pytest.raises(PersonLeft):
        left.write(lambda *progress: seen.append(progress))
    assert len(seen) == 4 and not left.store.votes()


def test_a_plan_is_read_back_and_what_makes_no_sense_is_left_out(plan: VotePlan, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan.save(path)
    assert load_plan(path, VotePlan()) == plan
    path.write_text(path.read_text(encoding="utf-8").replace('"count": 2', '"count": "two"'), encoding="utf-8")
    assert load_plan(path, VotePlan(count=4)) == replace(plan, count=4)
    path.write_text("{", encoding="utf-8")
    assert load_plan(path, VotePlan()) == VotePlan()
