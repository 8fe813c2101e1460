"""One declaration per option; flags beat files, files beat presets, and every value says where it came from."""

import tomllib
from pathlib import Path

import pytest

from edgetune.config.recipe import PRESETS, Recipe, build_recipe, preset, to_toml
from edgetune.errors import InputError


def test_sources_in_order_of_strength(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text("rank = 8\nepochs = 2.0\n", encoding="utf-8")
    recipe, sources = build_recipe({"rank": 4}, file, "careful")
    assert (recipe.rank, recipe.epochs, recipe.max_length, recipe.batch_size) == (4, 2.0, 2048, 4)
    assert (sources["rank"], sources["epochs"], sources["max_length"], sources["batch_size"]) == (
        "flag",
        f"file {file}",
        "preset careful",
        "default",
    )


def test_all_wrong_values_are_named_together() -> None:
    with pytest.raises(InputError) as caught:
        build_recipe({"rank": 0, "quantization": "nf3", "batch_size": -1})
    assert caught.value.exit_code == 2
    for name in ("rank", "quantization", "batch_size"):
        assert name in caught.value.cause


def test_unknown_key_and_broken_file(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text("rnak = 8\n", encoding="utf-8")
    with pytest.raises(InputError, match="not valid"):
        build_recipe({}, file)
    file.write_text("rank = = 8\n", encoding="utf-8")
    with pytest.raises(InputError, match="cannot be read"):
        build_recipe({}, file)
    with pytest.raises(InputError, match="no recipe"):
        build_recipe({}, tmp_path / "none.toml")


def test_full_fine_tuning_refuses_packed_weights() -> None:
    with pytest.raises(InputError) as caught:
        build_recipe({"lora": False, "quantization": "nf4"})
    assert "none" in caught.value.cause
    assert not build_recipe({"lora": False, "quantization": "none"})[0].lora


def test_toml_round_trip() -> None:
    recipe, sources = build_recipe({"base": "nano", "data": ["a b.jsonl", 'quote".json'], "max_steps": 5, "learning_rate": 1e-3})
    assert Recipe(**tomllib.loads(to_toml(recipe, sources))) == recipe


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_valid(name: str) -> None:
    assert build_recipe({}, None, name)[0] == Recipe(**preset(name))


def test_every_option_has_help_and_reason() -> None:
    for name, field in Recipe.model_fields.items():
        extra = field.json_schema_extra
        assert field.description and isinstance(extra, dict) and extra["why"], name
