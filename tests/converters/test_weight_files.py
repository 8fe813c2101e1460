"""Which files of a folder are the model: those that transformers takes."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from converters.errors import ConversionError
from converters.weight_files import INDEX, WHOLE, weight_files
from converters.weights import read_folder
from edgetune.bases import find
from edgetune.bases.fingerprint import fingerprint, is_base
from edgetune.bases.load import load_model
from edgetune.bases.model_shapes import read_shapes

STALE = {"metadata": {"total_size": 1}, "weight_map": {"gone": "model-00001-of-00002.safetensors"}}
OTHERS = ("model-00001-of-00001.safetensors", "consolidated.safetensors", "other.safetensors")


@pytest.fixture
def folder(nano: Path, tmp_path: Path) -> Path:
    """The bundled model."""
    return Path(shutil.copytree(nano, tmp_path / "m"))


def write_index(folder: Path, weight_map: dict[str, str]) -> None:
    """An index of shards, as transformers writes it."""
    (folder / INDEX).write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": weight_map}))


def shift(folder: Path, source: str, target: str, by: float) -> None:
    """A copy of a folder's weights with the embeddings shifted, so that it shows which file was read."""
    weights = load_file(folder / source)
    save_file(weights | {"model.embed_tokens.weight": weights["model.embed_tokens.weight"] + by}, folder / target, {"format": "pt"})


def variants(folder: Path, kind: str) -> None:
    """What people's folders hold besides a model's files."""
    if kind == "mistral":
        shift(folder, WHOLE, "consolidated.safetensors", 1.0)
    elif kind == "stale index":
        (folder / INDEX).write_text(json.dumps(STALE))
    elif kind == "shards beside the whole":
        shift(folder, WHOLE, OTHERS[0], 1.0)
        write_index(folder, dict.fromkeys(load_file(folder / WHOLE), OTHERS[0]))
    elif kind == "shards alone":
        (folder / WHOLE).rename(folder / OTHERS[0])
        write_index(folder, dict.fromkeys(load_file(folder / OTHERS[0]), OTHERS[0]))
        shift(folder, OTHERS[0], OTHERS[1], 1.0)
    elif kind.startswith("index"):  # it leads transformers to files only: every tensor in them counts
        weights = load_file(folder / WHOLE)
        halves = {OTHERS[0]: sorted(weights)[::2], OTHERS[2]: sorted(weights)[1::2]}
        for name, half in halves.items():
            save_file({key: weights[key] for key in half}, folder / name, {"format": "pt"})
        (folder / WHOLE).unlink()
        places = {key: name for name, half in halves.items() for key in half}
        if kind == "index without a tensor":
            places.pop("model.embed_tokens.weight")
        else:
            places["model.embed_tokens.weight"] = next(name for name in halves if name != places["model.embed_tokens.weight"])
        write_index(folder, places)
    elif kind == "named by config.json":
        shift(folder, WHOLE, OTHERS[2], 1.0)
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": OTHERS[2]}))


KINDS = (
    "mistral",
    "stale index",
    "shards beside the whole",
    "shards alone",
    "index without a tensor",
    "index of another shard",
    "named by config.json",
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_counts_loads_and_converts_reads_what_transformers_reads(kind: str, folder: Path) -> None:
    alone = find.describe_base(folder)
    layers = read_shapes(alone)
    variants(folder, kind)
    theirs = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True, dtype="auto").get_input_embeddings().weight.float()
    assert (read_folder(folder)["model.embed_tokens.weight"].load() == theirs.detach().numpy()).all()
    assert (load_model(folder, "cpu", "float32").get_input_embeddings().weight == theirs).all()

    described = find.describe_base(folder)
    assert (described.parameters, described.bytes) == (alone.parameters, sum(path.stat().st_size for path in weight_files(folder).paths))
    assert read_shapes(described).linear_weights == layers.linear_weights

    # The other files are no part of the model, and may come and go.
    before = fingerprint(folder)
    (folder / "unrelated.safetensors").write_bytes(b"x")
    assert fingerprint(folder) == before and find.describe_base(folder).parameters == alone.parameters


def test_a_base_hashed_by_an_earlier_version_is_known(folder: Path) -> None:
    """Version 0.1 hashed every safetensors file of a folder without an index: its runs know their base still, and no other."""
    variants(folder, "mistral")
    total = hashlib.sha256()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "consolidated.safetensors", WHOLE):
        if (folder / name).is_file():
            raw = (folder / name).read_bytes()
            total.update(f"{name}:{len(raw)};".encode() + hashlib.sha256(raw).digest())
    assert is_base(folder, total.hexdigest()) and is_base(folder, fingerprint(folder)) and fingerprint(folder) != total.hexdigest()
    (folder / "consolidated.safetensors").unlink()
    assert not is_base(folder, total.hexdigest())


def test_an_adapter_beside_a_model_is_not_put_over_it(folder: Path) -> None:
    """transformers loads it unasked (it is there since somebody saved the merged model to the adapter's folder)."""
    from peft import LoraConfig, get_peft_model

    plain = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").state_dict()
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    tuned.save_pretrained(folder)
    assert any("lora" in name for name in AutoModelForCausalLM.from_pretrained(folder).state_dict())
    ours = load_model(folder, "cpu", "float32").state_dict()
    assert ours.keys() == plain.keys() and all((ours[name] == plain[name].float()).all() for name in plain)


@pytest.mark.parametrize(
    ("rename", "words"),
    [
        ("consolidated.safetensors", "Mistral's own layout"),
        ("adapter_model.safetensors", "an adapter, not a model"),
        ("model.fp16.safetensors", "found model.fp16.safetensors"),
        ("shard-00000-model-00001-of-00002.safetensors", "part of every tensor"),
    ],
)
def test_a_folder_transformers_would_not_load_is_refused(rename: str, words: str, folder: Path) -> None:
    (folder / WHOLE).rename(folder / rename)
    if not rename.startswith("shard"):  # those it gives to torch.distributed, which asks for the processes that wrote them
        with pytest.raises(OSError, match="Error no file named"):
            AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
    with pytest.raises(ConversionError) as refusal:
        weight_files(folder)
    assert words in refusal.value.cause and refusal.value.remedy


@pytest.mark.parametrize("name", ["../m.safetensors", "adapter_model.bin", "x\\m.safetensors", 3, "none.safetensors"])
def test_a_name_in_config_json_that_leads_elsewhere_is_refused(name: object, folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "transformers_weights": name}))
    with pytest.raises(ConversionError, match=r"cannot be read|No safetensors"):
        weight_files(folder)
