"""A model that surely answers and surely ends its turn, with any tokenizer: its weights say which token follows which.

Attention and feed-forward layers are zero, so a position's state is its token's embedding. The tokens of the answer, the mark that ends
the turn and what a program would see that does not stop there have a direction of their own each, and the output matrix leads from each
direction to the next token. All other tokens, so also the last one of any prompt, share a direction that leads to the answer's first.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

ANSWER, RUN_ON = "Cold is the opposite.", "onward"
"""What the model answers, and what it writes for ever behind the end of its turn."""
WIDTH, HEADS, STRENGTH = 64, 2, 8.0
"""Numbers in a state, attention heads, and the output weight of what follows: its logit is STRENGTH * sqrt(WIDTH), all others are 0."""


def make_talking(folder: Path, answer: list[int], end: list[int], run_on: list[int], vocabulary: int, **config: Any) -> Path:
    """Add config.json and weights to a folder with a tokenizer: after any prompt come `answer` and `end`, then `run_on` again and again.

    vocabulary: the number of tokens. config: further settings, such as eos_token_id.
    """
    chain = [*answer, *end, *run_on]
    assert len(set(chain)) == len(chain) < WIDTH, "each token of the chain needs a direction of its own"
    embeddings = np.zeros((vocabulary, WIDTH), np.float16)
    output = np.zeros((vocabulary, WIDTH), np.float16)
    embeddings[:, 0], output[chain[0], 0] = 1, STRENGTH
    for place, token in enumerate(chain, 1):
        embeddings[token, 0], embeddings[token, place] = 0, 1
        output[chain[place] if place < len(chain) else run_on[0], place] = STRENGTH

    ones, zeros = np.ones(WIDTH, np.float16), np.zeros((WIDTH, WIDTH), np.float16)
    layer: dict[str, np.ndarray] = {f"self_attn.{name}_proj.weight": zeros for name in "qkvo"}
    layer |= {f"mlp.{name}_proj.weight": zeros for name in ("gate", "up", "down")}
    layer |= {f"{name}_layernorm.weight": ones for name in ("input", "post_attention")}
    weights = {"model.embed_tokens.weight": embeddings, "model.norm.weight": ones, "lm_head.weight": output}
    save_file(
        {**weights, **{f"model.layers.0.{name}": value.copy() for name, value in layer.items()}},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    shape = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "dtype": "float16",
        "hidden_size": WIDTH,
        "intermediate_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "vocab_size": vocabulary,
        "tie_word_embeddings": False,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
    }
    (folder / "config.json").write_text(json.dumps({**shape, **config}))
    return folder
