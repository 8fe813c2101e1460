#!/usr/bin/env bash
# A model that transformers loaded with `key_mapping` is saved under names that are not names: pieces of the patterns are in them.
#
# Versions: transformers 5.23.0, torch 2.13.0 (CPU), Python 3.11, Linux x86-64.
# Input: a tiny Gemma 3 with vision tower, saved by transformers itself, whose text part is loaded as Gemma3ForCausalLM with one documented
# `key_mapping` pattern that accepts both of the prefixes that transformers has used.
# Expected: `save_pretrained` writes the names of the model, or those of the file it came from; loading the copy gives the same model.
# Seen: tensors are called "?language_model.?embed_tokens.weight" and so on. Loading them again warns and fills in random weights, so a fine-tune
# that was saved this way is lost without an error. `save_original_format=False` is the way around.
#
# usage: bash findings/key_mapping_breaks_saving.sh
# Exit code 0: still so. 1: the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet "torch==2.13.0" "transformers==5.23.0"

cat > try.py <<'PYTHON'
import torch
import transformers
from safetensors import safe_open
from transformers import Gemma3Config, Gemma3ForCausalLM, Gemma3ForConditionalGeneration

layer = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
text = layer | {"num_key_value_heads": 1, "head_dim": 16, "vocab_size": 64, "query_pre_attn_scalar": 16}
config = Gemma3Config(text_config=text, vision_config=layer | {"image_size": 28, "patch_size": 14}, image_token_index=63)
Gemma3ForConditionalGeneration(config).save_pretrained("whole")

mapping = {r"^(?:model\.)?language_model\.(?:model\.)?(?!lm_head)": "model."}
model = Gemma3ForCausalLM.from_pretrained("whole", config=config.text_config, key_mapping=mapping)
model.save_pretrained("saved")
model.save_pretrained("plain", save_original_format=False)


def names(path: str) -> list:
    """The tensors of a file."""
    with safe_open(f"{path}/model.safetensors", "pt") as file:
        return sorted(file.keys())


ids = torch.arange(8)[None]
again = Gemma3ForCausalLM.from_pretrained("saved")
with torch.no_grad():
    difference = float((model(input_ids=ids).logits - again(input_ids=ids).logits).abs().max())
print("transformers", transformers.__version__, "torch", torch.__version__)
print("as saved:", names("saved")[0], "| with save_original_format=False:", names("plain")[0], "| largest change of a logit:", difference)
raise SystemExit(0 if names("saved")[0].startswith("?") and difference > 0.01 else 1)
PYTHON
venv/bin/python try.py
