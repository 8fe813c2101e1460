"""Adapters as other tools and other ways of saving leave them: read as they were meant, or refused with what can be done."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters import convert
from converters.adapter_files import MLX_FUSE, adapter_folder
from converters.errors import ConversionError
from converters.merge import MERGE_WHERE_TRAINED, MERGE_WITH_PEFT, RUN_WITH_PEFT, UNMERGEABLE_TYPES
from edgetune.gguf.proof.merged import MergedTensors, stored_tensors
from edgetune.gguf.proof.streamed import skeleton
from tests.converters.conftest import MakeModel
from tests.converters.test_merge import BASE, LINEAR, TIED, train

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT and transformers talk about versions to come
RANK, SCALE = 4, 3.5
LAYERS = int(str(BASE["num_hidden_layers"]))
Q = "model.layers.1.self_attn.q_proj"


def merged(folder: Path, adapter: Path) -> dict[str, np.ndarray]:
    """All of the model's tensors as an export holds them, each equal to what the proof holds it against."""
    ours = dict(convert.plan_gguf(folder, adapter, ["F32"], chat_template=None, name="n", extra={}).merged())
    proof = MergedTensors(skeleton(folder), adapter, stored_tensors(folder, "model.embed_tokens.weight"))
    for name, values in ours.items():
        theirs = proof(name)
        assert np.abs(values - theirs).max() <= 1e-6 * np.abs(theirs).max(), name
    return ours


def write_mlx(target: Path, base: dict[str, np.ndarray], kind: str, layers: int) -> dict[str, np.ndarray]:
    """An adapter in mlx-lm's layout on the last layers, and what mlx-lm's `fuse` would make of the base (its formulas, in numpy)."""
    from safetensors.numpy import save_file

    rng, tensors, fused = np.random.default_rng(2), {}, dict(base)
    for name, weight in base.items():
        module = name.removesuffix(".weight")
        if not name.startswith(tuple(f"model.layers.{LAYERS - number}." for number in range(1, layers + 1))):
            continue
        if kind == "full":
            fused[name] = tensors[name] = (weight + 0.1 * rng.standard_normal(weight.shape)).astype(np.float32)
        elif weight.ndim == 2:
            a = tensors[f"{module}.lora_a"] = rng.standard_normal((weight.shape[1], RANK)).astype(np.float32)
            b = tensors[f"{module}.lora_b"] = 0.1 * rng.standard_normal((RANK, weight.shape[0])).astype(np.float32)
            changed = weight + (SCALE * b.T) @ a.T
            if kind == "dora":
                m = tensors[f"{module}.m"] = (1 + rng.random(len(weight))).astype(np.float32)
                changed = (m / np.linalg.norm(changed, axis=1))[:, None] * changed
            fused[name] = changed
    target.mkdir()
    save_file(tensors, target / "adapters.safetensors")
    config = {"fine_tune_type": kind, "num_layers": layers, "lora_parameters": {"rank": RANK, "dropout": 0.0, "scale": SCALE}, "model": "m"}
    (target / "adapter_config.json").write_text(json.dumps({**config, "iters": 100, "train": True, "seed": 0}))
    return fused


@pytest.mark.parametrize(("kind", "layers"), [("lora", 2), ("lora", 1), ("dora", 1), ("full", 1)])
def test_mlx_adapters_are_what_mlx_fuses(make_model: MakeModel, tmp_path: Path, kind: str, layers: int) -> None:
    """Square matrices are among them, where a missing turn would not show in a shape."""
    square = {"num_attention_heads": 4, "num_key_value_heads": 4, "hidden_size": 64, "head_dim": 16}
    folder = make_model({**BASE, **square, "attention_bias": False, "mlp_bias": False})
    base = dict(convert.plan_gguf(folder, None, ["F32"], chat_template=None, name="n", extra={}).merged())
    fused = write_mlx(tmp_path / "a", base, kind, layers)
    assert any(not np.array_equal(fused[name], base[name]) and len(set(base[name].shape)) == 1 for name in base)
    ours = merged(folder, tmp_path / "a")
    assert ours.keys() == fused.keys()
    for name, values in fused.items():
        assert np.abs(ours[name] - values).max() <= 2e-6 * np.abs(values).max(), name


@pytest.mark.parametrize(
    "tensors",
    [
        {"model.embed_tokens.lora_a": (300, RANK), "model.embed_tokens.lora_b": (RANK, 64)},
        {f"{Q}.lora_a": (2, RANK, 64), f"{Q}.lora_b": (2, 64, RANK)},
        {f"{Q}.bias": (64,)},
    ],
    ids=["embeddings", "experts", "bias"],
)
def test_what_mlx_alone_can_fuse_is_refused_with_its_command(make_model: MakeModel, tmp_path: Path, tensors: dict[str, Any]) -> None:
    from safetensors.numpy import save_file

    folder = make_model(BASE)
    write_mlx(tmp_path / "a", {}, "lora", 0)
    save_file({name: np.ones(shape, np.float32) for name, shape in tensors.items()}, tmp_path / "a" / "adapters.safetensors")
    with pytest.raises(ConversionError) as refusal:
        convert.plan_gguf(folder, tmp_path / "a", ["F32"], chat_template=None, name="n", extra={})
    assert next(iter(tensors)) in refusal.value.cause and refusal.value.remedy == MLX_FUSE


@pytest.mark.parametrize("options", [{"use_dora": True}, {"modules_to_save": ["lm_head"]}, {"init_lora_weights": "mica"}], ids=str)
def test_names_that_hold_the_adapters_own_are_read(make_model: MakeModel, tmp_path: Path, options: dict[str, Any]) -> None:
    """As the bare state of a PEFT model has them."""
    from safetensors.torch import save_file

    folder = make_model(BASE)
    tuned = train(folder, tmp_path / "a", target_modules=LINEAR, **options)
    before = merged(folder, tmp_path / "a")
    state = {name: weight for name, weight in tuned.state_dict().items() if ".default." in name or name.endswith(".default")}
    assert len(state) > 20 and not any("default" in name for name in before)
    save_file(state, tmp_path / "a" / "adapter_model.safetensors", {"format": "pt"})
    after = merged(folder, tmp_path / "a")
    assert all(np.array_equal(after[name], values) for name, values in before.items())


def test_an_adapter_in_a_subfolder_of_its_name_is_read(make_model: MakeModel, tmp_path: Path) -> None:
    """PEFT saves there an adapter that is not called 'default'."""
    folder = make_model(BASE)
    tuned = train(folder, tmp_path / "plain", target_modules=["q_proj"])
    tuned.add_adapter("poet", tuned.peft_config["default"])
    tuned.save_pretrained(tmp_path / "named", selected_adapters=["poet"])
    assert adapter_folder(tmp_path / "named") == tmp_path / "named" / "poet"
    merged(folder, tmp_path / "named" / "poet")
    shutil.copytree(tmp_path / "named" / "poet", tmp_path / "named" / "checkpoint-20")
    with pytest.raises(ConversionError) as refusal:
        adapter_folder(tmp_path / "named")
    assert "checkpoint-20" in refusal.value.cause and "poet" in refusal.value.remedy
    with pytest.raises(ConversionError, match="is not an adapter"):
        adapter_folder(folder)


def remedy(folder: Path, adapter: Path, changes: dict[str, Any]) -> str:
    """What is said to do about an adapter with these settings."""
    config = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(config | changes))
    with pytest.raises(ConversionError) as refusal:
        convert.plan_gguf(folder, adapter, ["F32"], chat_template=None, name="n", extra={})
    return str(refusal.value.remedy)


def test_merging_with_peft_is_advised_where_peft_can(make_model: MakeModel, tmp_path: Path) -> None:
    """On a tied base PEFT's merge changes both matrices, unless they were parted: the advice says so."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = make_model(TIED)
    tuned = train(folder, tmp_path / "a", target_modules=["lm_head", "q_proj"]).eval()
    ids = torch.arange(3, 40)[None]
    live = tuned(ids).logits
    advice = remedy(folder, tmp_path / "a", {"a_key_of_the_future": 1})
    assert advice.startswith(MERGE_WITH_PEFT) and "tie_word_embeddings=False" in advice

    def gap(**options: Any) -> float:
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
        if options:
            base.lm_head.weight.data = base.model.embed_tokens.weight.data.clone()
        both = PeftModel.from_pretrained(base, tmp_path / "a").merge_and_unload()
        return float((both(ids).logits - live).abs().max())

    config = json.loads((tmp_path / "a" / "adapter_config.json").read_text())
    config.pop("a_key_of_the_future")
    (tmp_path / "a" / "adapter_config.json").write_text(json.dumps(config))
    assert gap() > 0.01 and gap(tie_word_embeddings=False) < 1e-4


@pytest.mark.parametrize(("start", "repeated"), [("olora", True), ("pissa", True), ("pissa_niter_2", False)])
def test_starts_that_change_the_base_are_merged_where_that_gives_the_model(
    make_model: MakeModel, tmp_path: Path, start: str, repeated: bool
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = make_model(BASE)
    tuned = train(folder, tmp_path / "a", target_modules=LINEAR, init_lora_weights=start).eval()
    again = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), tmp_path / "a")
    ids = torch.arange(3, 40)[None]
    gap = float((again.merge_and_unload()(ids).logits - tuned(ids).logits).abs().max())
    assert (gap < 1e-3) == repeated
    assert float((tuned(ids).logits - tuned.merge_and_unload()(ids).logits).abs().max()) < 1e-3
    assert remedy(folder, tmp_path / "a", {}) == (MERGE_WITH_PEFT if repeated else MERGE_WHERE_TRAINED)


def test_what_peft_cannot_merge_is_not_to_be_merged_with_peft(make_model: MakeModel, tmp_path: Path) -> None:
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_TUNER_MAPPING

    folder = make_model(BASE)
    train(folder, tmp_path / "a", target_modules=["q_proj"])
    for kind in PeftType:
        merging = hasattr(PEFT_TYPE_TO_TUNER_MAPPING.get(kind), "merge_and_unload")
        if kind != PeftType.LORA and not merging:
            assert kind.value in UNMERGEABLE_TYPES, kind
    for changes in ({"peft_type": "PREFIX_TUNING"}, {"layer_replication": [[0, 2], [1, 2]]}, {"alora_invocation_tokens": [1, 2]}):
        shutil.copytree(tmp_path / "a", tmp_path / "b", dirs_exist_ok=True)
        assert remedy(folder, tmp_path / "b", changes) == RUN_WITH_PEFT
    shutil.copytree(tmp_path / "a", tmp_path / "b", dirs_exist_ok=True)
    assert remedy(folder, tmp_path / "b", {"peft_type": "LOHA"}) == MERGE_WITH_PEFT
