"""The decoder that most architectures share: embeddings, layers of grouped-query attention and a gated MLP, and an output matrix.

Here are the hyper-parameters under llama.cpp's keys, and the list of tensors that an architecture adds to.
"""

from typing import Any, NamedTuple

import numpy as np

from converters.archs import SAME, Build, TensorPlan, config_error, gguf_tensor_name, integer, refuse_unless
from converters.errors import ConversionError
from converters.gguf_file import Value, f32, u32
from converters.gguf_model import GgufModel
from converters.rope import positive_number, rope_configuration, rope_metadata, rope_settings


class Heads(NamedTuple):
    """Query heads, key and value heads, and the size of a head."""

    query: int
    kv: int
    size: int


def layer_count(config: dict[str, Any], key: str = "num_hidden_layers") -> int:
    """Number of layers; llama.cpp holds at most 512 (src/llama-hparams.h)."""
    return integer(config, key, maximum=512)


def heads(config: dict[str, Any], own_size: bool = True) -> Heads:
    """The attention's heads. own_size: whether a head may be of another size than its share of the hidden size."""
    query = integer(config, "num_attention_heads")
    kv = integer(config, "num_key_value_heads", default=query)
    hidden = integer(config, "hidden_size")
    if query % kv or (hidden % query and (config.get("head_dim") is None or not own_size)):
        raise config_error(f"{query} heads, {kv} key-value heads and hidden size {hidden} do not divide evenly.")

    size = integer(config, "head_dim", default=hidden // query)
    if size % 2:
        raise config_error(f"The head size {size} is odd, so a head cannot be rotated in pairs.")

    if not own_size:
        refuse_unless(config, "head_dim", hidden // query, default=hidden // query)
    return Heads(query, kv, size)


def decoder_metadata(
    config: dict[str, Any],
    arch: str,
    head_size: bool = True,
    activation: tuple[str, str] = ("hidden_act", "silu"),
    epsilon: str = "rms_norm_eps",
) -> dict[str, Value]:
    """The hyper-parameters all have, under llama.cpp's keys (gguf-py/gguf/constants.py, class Keys); refuses what none can express.

    head_size: whether the size of a head is written. activation: the setting and the only value llama.cpp computes. epsilon: the name
    of that setting.
    """
    refuse_unless(config, *activation, default=activation[1])
    for key in ("num_local_experts", "num_experts", "quantization_config", "text_config"):
        refuse_unless(config, key, None)

    head = heads(config)
    keys = {
        "block_count": u32(layer_count(config)),
        "context_length": u32(integer(config, "max_position_embeddings")),
        "embedding_length": u32(integer(config, "hidden_size")),
        "feed_forward_length": u32(integer(config, "intermediate_size")),
        "attention.head_count": u32(head.query),
        "attention.head_count_kv": u32(head.kv),
        "attention.layer_norm_rms_epsilon": f32(positive_number(config, epsilon)),
    }

    if head_size:
        keys |= {"attention.key_length": u32(head.size), "attention.value_length": u32(head.size)}
    return {f"{arch}.{key}": value for key, value in keys.items()}


def decoder_configuration(
    file: GgufModel, own_size: bool = True, activation: str = "hidden_act", epsilon: str = "rms_norm_eps"
) -> dict[str, Any]:
    """The settings that `decoder_metadata` writes, read back. own_size: whether a head may be of another size than its share."""
    query = file.integer("attention.head_count")
    hidden = file.integer("embedding_length")
    if query > hidden:
        raise file.invalid(f"It has {query} heads for a hidden size of {hidden}.")

    config = {
        "vocab_size": file.shape("token_embd.weight")[0],
        "hidden_size": hidden,
        "num_hidden_layers": file.integer("block_count", maximum=512),
        "num_attention_heads": query,
        "max_position_embeddings": file.integer("context_length"),
        epsilon: file.number("attention.layer_norm_rms_epsilon"),
        "tie_word_embeddings": file.tied,
    }

    # Where layers differ these are lists, which the architecture itself reads.
    if not isinstance(file.get("attention.head_count_kv"), np.ndarray):
        config["num_key_value_heads"] = file.integer("attention.head_count_kv", query)
    if not isinstance(file.get("feed_forward_length"), np.ndarray):
        config["intermediate_size"] = file.integer("feed_forward_length")

    if own_size and file.get("attention.key_length") is not None:
        config["head_dim"] = file.integer("attention.key_length")
    return config | {activation: "silu" if activation == "hidden_act" else "gelu_pytorch_tanh"}


def equal_share_metadata(config: dict[str, Any], arch: str) -> dict[str, Value]:
    """Hyper-parameters, rope included, of a decoder whose heads are each as large as their share of the hidden size."""
    heads(config, own_size=False)
    return decoder_metadata(config, arch, head_size=False) | rope_metadata(rope_settings(config), arch, ("linear", "yarn"))


def equal_share_configuration(file: GgufModel) -> dict[str, Any]:
    """The settings that `equal_share_metadata` writes, read back."""
    return decoder_configuration(file, own_size=False) | {"rope_parameters": rope_configuration(file)}


def refuse_windows(config: dict[str, Any], arch: str) -> None:
    """Refuse attention to only the last tokens where llama.cpp has no such attention for the architecture."""
    window = config.get("sliding_window")
    if window is not None and (type(window) is not int or window < integer(config, "max_position_embeddings")):
        raise ConversionError(
            f"sliding_window = {window!r} is not supported",
            f"llama.cpp's {arch} attends to all tokens before; the model only to the last {window!r}.",
            "Choose another base model.",
        )


def refuse_layers_but(config: dict[str, Any], kind: str) -> None:
    """Refuse layers of any other type than the one given."""
    kinds = config.get("layer_types") or []
    other = next((layer for layer in kinds if layer != kind), None) if isinstance(kinds, list) else kinds
    if other is not None:
        raise ConversionError(
            f"layer_types with {other!r} is not supported",
            f"llama.cpp computes this architecture with {kind} only.",
            "Choose another base model.",
        )


def _interleave(count: int, rows: np.ndarray) -> np.ndarray:
    """Reorder a projection's rows [count * size, …] within each of its heads.

    transformers rotates row i with row i + size/2 (modeling_llama.py, `rotate_half`); llama.cpp's Llama rotates neighbours (ggml_rope,
    mode "normal"). So the two halves of every head are dealt out in turn.
    """
    halves = rows.reshape(count, 2, -1, *rows.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(rows.shape)


def _deinterleave(count: int, rows: np.ndarray) -> np.ndarray:
    """The inverse of `_interleave`: the two halves of every head together again."""
    pairs = rows.reshape(count, -1, 2, *rows.shape[1:])
    return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(rows.shape)


INTERLEAVED = Build(_interleave, _deinterleave, moves_rows=True)
"""A projection whose rows llama.cpp rotates as neighbours; to bind: the number of heads."""


def _plus_one(weight: np.ndarray) -> np.ndarray:
    """A norm's weight where the model multiplies by one plus it (modeling_gemma2.py, `Gemma2RMSNorm`) and llama.cpp by the weight."""
    return weight + np.float32(1)


def _minus_one(weight: np.ndarray) -> np.ndarray:
    """Exact, but for what adding one has already rounded away."""
    return weight - np.float32(1)


PLUS_ONE = Build(_plus_one, _minus_one)
"""A norm's weight that the model stores less one."""


class TensorPlans(list[TensorPlan]):
    """The tensors of a GGUF in their order, for an architecture and a number of layers."""

    def __init__(self, arch: str, layers: int) -> None:
        super().__init__()
        self.arch = arch
        self.layers = layers

    def add(self, name: str, *shape: int, build: Build = SAME, stored: tuple[int, ...] | None = None, known_as: str | None = None) -> None:
        """One model tensor that is one GGUF tensor. shape: in the GGUF. stored: its shape in the model where that differs.

        known_as: a name that gguf-py's table knows, where it does not know the model's own.
        """
        source = (name, stored or shape)
        self.append(TensorPlan(gguf_tensor_name(self.arch, self.layers, known_as or name), shape, (source,), build))

    def add_computed(self, name: str, values: np.ndarray) -> None:
        """A tensor that is computed from the configuration alone, under its GGUF name."""
        self.append(TensorPlan(name, values.shape, (), Build(lambda: values)))

    def linear(self, name: str, rows: int, columns: int, bias: bool = False, build: Build = SAME) -> None:
        """A projection's weight [rows, columns] and, where it has one, its bias [rows]."""
        self.add(f"{name}.weight", rows, columns, build=build)
        if bias:
            self.add(f"{name}.bias", rows, build=build)

    def attention(
        self,
        prefix: str,
        hidden: int,
        head: Heads,
        bias: tuple[bool, bool] = (False, False),
        query: Build = SAME,
        key: Build = SAME,
        output: str = "o_proj",
    ) -> None:
        """Query, key, value and output projections. bias: of the first three, and of the output. query, key: how those are built."""
        self.linear(f"{prefix}.q_proj", head.query * head.size, hidden, bias[0], query)
        self.linear(f"{prefix}.k_proj", head.kv * head.size, hidden, bias[0], key)
        self.linear(f"{prefix}.v_proj", head.kv * head.size, hidden, bias[0])
        self.linear(f"{prefix}.{output}", hidden, head.query * head.size, bias[1])

    def gated_mlp(
        self, prefix: str, hidden: int, inner: int, bias: bool = False, names: tuple[str, str, str] = ("gate_proj", "up_proj", "down_proj")
    ) -> None:
        """Gate, up and down projections, by their names in the model."""
        gate, up, down = (f"{prefix}.{name}" for name in names)
        self.linear(gate, inner, hidden, bias)
        self.linear(up, inner, hidden, bias)
        self.linear(down, hidden, inner, bias)

    def start(self, config: dict[str, Any]) -> tuple[int, int]:
        """The embeddings; gives hidden and intermediate size."""
        hidden = integer(config, "hidden_size")
        self.add("model.embed_tokens.weight", integer(config, "vocab_size"), hidden)
        return hidden, integer(config, "intermediate_size")

    def end(self, config: dict[str, Any], tied: bool, norm: Build = SAME, name: str = "model.norm") -> None:
        """The last norm, and the output matrix unless it is the embeddings'."""
        hidden = integer(config, "hidden_size")
        self.add(f"{name}.weight", hidden, build=norm)
        if not tied:
            self.add("lm_head.weight", integer(config, "vocab_size"), hidden)
