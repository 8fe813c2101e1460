"""Recipes, flags, drafts and runs of the version before, which used other names, still work, and a note says which name replaced which."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetune.config.recipe import Recipe, build_recipe, current_names, flag_of, former_names
from edgetune.errors import InputError
from edgetune.runs import compare
from edgetune.runs.integrity import recipe_of
from edgetune.storage.files import sha256, write_json
from edgetune.storage.workspace import Run, Workspace
from tui import draft

FORMER_RECIPE = Path(__file__).parent / "former_recipe.toml"
"""Every option that has a value beside the others, as the version before wrote it."""
SMALL = {"base": "nano", "rank": 4, "batch_size": 2, "gradient_accumulation": 1, "max_length": 128, "max_steps": 2, "quantization": "none"}

Call = Callable[..., tuple[int, str, str]]


def renamed(text: str) -> str:
    """A recipe file under the former names."""
    for old, new in former_names().items():
        text = re.sub(rf"^{new} =", f"{old} =", text, flags=re.MULTILINE)
    return text


def test_a_recipe_of_every_former_key_loads_with_a_note_for_each() -> None:
    notes: list[str] = []
    recipe, sources = build_recipe({}, FORMER_RECIPE, note=notes.append)
    assert recipe == Recipe(
        base="nano",
        data=["facts.jsonl:2", "more.csv"],
        validation=["valid.jsonl"],
        format="alpaca",
        column_map=["instruction=q,output=a"],
        from_run="earlier",
        method="rl",
        loss_type="ipo",
        beta=0.2,
        sft_weight=0.3,
        label_smoothing=0.1,
        simpo_gamma=0.7,
        quantization="int8",
        reward=["exact", "length:20"],
        algorithm="grpo",
        num_generations=8,
        max_completion_length=64,
        temperature=0.8,
        kl_limit=0.4,
        rank=8,
        alpha=24.0,
        dropout=0.05,
        target_modules=["q_proj", "v_proj"],
        rslora=True,
        dora=True,
        learning_rate=3e-4,
        lr_scheduler_type="linear",
        warmup_ratio=0.1,
        weight_decay=0.01,
        max_grad_norm=0.5,
        batch_size=2,
        gradient_accumulation=8,
        max_length=512,
        overlong="split",
        train_on="last",
        epochs=2.0,
        max_steps=40,
        validation_split=0.2,
        eval_steps=10,
        save_steps=5,
        replay_ratio=0.4,
        keep_best=False,
        early_stopping_patience=3,
        gradient_checkpointing=True,
        seed=7,
        data_seed=9,
        device="cpu",
        threads=2,
    )
    keys = tomllib.loads(FORMER_RECIPE.read_text(encoding="utf-8"))
    assert former_names().keys() <= keys.keys() and sources["max_length"] == f"file {FORMER_RECIPE}"
    assert notes == [
        f"{FORMER_RECIPE}: {key} is now called {former_names()[key]}; the former name still works." for key in keys if key in former_names()
    ]


def test_no_name_means_two_things() -> None:
    assert not former_names().keys() & Recipe.model_fields.keys()
    assert len(set(former_names().values())) == len(former_names())


def test_both_names_in_a_file_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text("max_length = 64\nlength = 32\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"max_length and .*length are both given") as caught:
        build_recipe({}, file)
    assert caught.value.remedy == "Remove length."


def test_a_former_flag_works_and_says_what_replaced_it(edgetune: Call) -> None:
    code, out, err = edgetune("fit", "--base", "nano", "--batch", 1, "--length", 64, "--json")
    _, current, quiet = edgetune("fit", "--base", "nano", "--batch-size", 1, "--max-length", 64, "--json")
    assert code == 0 and json.loads(out)["memory"] == json.loads(current)["memory"] and "now called" not in quiet
    assert "--length is now called --max-length; the former name still works." in err
    assert "--batch is now called --batch-size" in err
    code, _, err = edgetune("fit", "--base", "nano", "--length", 64, "--max-length", 64)
    assert code == 2 and "--max-length and --length are both given" in err and "Remove --length." in err
    code, _, err = edgetune("fit", "--base", "nano", "--length", 1)
    assert code == 2 and "--length" in err


@pytest.mark.parametrize("command", [("train",), ("fit",), ("data", "check"), ("resume",), ("demo",), ("prefs", "import")], ids=" ".join)
def test_help_names_what_is_current_and_nothing_former(command: tuple[str, ...], edgetune: Call) -> None:
    code, out, _ = edgetune(*command, "--help")
    shown = set(re.findall(r"(?<![\w-])--[a-z-]+", out))
    assert code == 0 and not shown & {flag_of(name) for name in former_names()}
    assert shown & {flag_of(name) for name in former_names().values()}
    if command == ("train",):
        assert {flag_of(name) for name in Recipe.model_fields} <= shown


def test_a_recipe_file_with_former_names_is_noted_on_stderr(edgetune: Call, facts: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text(f'base = "nano"\ndata = ["{facts}"]\nlength = 128\nsteps = 3\n', encoding="utf-8")
    code, out, err = edgetune("train", "--recipe", file, "--dry-run")
    assert code == 0 and "max_length = 128" in out and not re.search(r"^length =", out, re.MULTILINE)
    assert f"{file}: length is now called max_length" in err and f"{file}: steps is now called max_steps" in err


def test_a_run_with_former_names_resumes_and_is_compared(
    edgetune: Call, train: Callable[..., Run], workspace: Workspace, facts: Path
) -> None:
    old, new = (train(name, data=str(facts), work=False, **SMALL) for name in ("old", "new"))
    file = old.folder / "recipe.toml"
    file.write_text(renamed(file.read_text(encoding="utf-8")), encoding="utf-8")
    write_json(old.folder / "request.json", {**old.request(), "recipe_hash": sha256(file)})
    before = file.read_bytes()
    assert tomllib.loads(before.decode())["length"] == 128
    assert recipe_of(old) == recipe_of(new) and compare.recipe_differences(old, new) == []

    code, _, err = edgetune("resume", "old", "--json")
    assert code == 0 and file.read_bytes() == before, err
    code, out, err = edgetune("resume", "old", "--steps", 3, "--json")
    assert code == 0 and json.loads(out)["step"] == 3 and "--steps is now called --max-steps" in err
    assert edgetune("show", "old")[0] == 0


def test_a_draft_with_former_names_is_taken_up(workspace: Workspace, facts: Path) -> None:
    draft.Draft(base="nano", data=[str(facts)], options={"length": 64, "batch": 2, "rank": 4}).save(workspace)
    found = draft.load_draft(workspace)
    assert found.options == {"max_length": 64, "batch_size": 2, "rank": 4} and not found.problem
    assert "--max-length 64" in found.command()
    draft.Draft(options={"length": 64, "max_length": 32}).save(workspace)
    assert draft.load_draft(workspace).options == {}


def test_current_names_stay_as_they_are() -> None:
    notes: list[str] = []
    assert current_names({"max_length": 1, "rank": 2}, notes.append) == {"max_length": 1, "rank": 2} and not notes
