"""What a base's config and weight headers say about its sizes: layers, widths, and which weights get an adapter. No torch."""

import math
from dataclasses import dataclass

from converters.text_part import is_of_text
from edgetune.bases import find
from edgetune.errors import InputError


@dataclass(frozen=True)
class Shapes:
    """Sizes of a decoder. linear: (name, out, in) of every matrix inside the layers; other: weights that stay unpacked."""

    hidden: int
    inner: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int
    linear: list[tuple[str, int, int]]
    other: int
    file_bytes: int

    @property
    def linear_weights(self) -> int:
        """Weights of all matrices inside the layers."""
        return sum(out * into for _, out, into in self.linear)

    def adapter_weights(self, rank: int, targets: list[str]) -> int:
        """Weights of a LoRA adapter: rank times both sides of every matrix it sits on."""
        chosen = [m for m in self.linear if targets == ["all-linear"] or any(m[0].endswith(t) for t in targets)]
        return sum(rank * (out + into) for _, out, into in chosen)


def read_shapes(base: find.Base) -> Shapes:
    """Read a base's shapes from its config and the headers of its safetensors files. InputError where a size is none."""
    text = find.complete(base.config)

    def number(*names: str, default: int) -> int:
        size = next((int(text[n]) for n in names if isinstance(text.get(n), int)), default)
        if size < 1:
            raise InputError(f"{base.name} cannot be used", f"Its config.json gives {size} as {names[0]}.", "Get the model again.")
        return size

    hidden = number("hidden_size", "n_embd", default=1024)
    heads = number("num_attention_heads", "n_head", default=16)
    linear: list[tuple[str, int, int]] = []
    vocabulary = number("vocab_size", default=32000)
    other = 0

    # Matrices inside the layers can carry an adapter; all else stays as it is.
    for name, tensor in find.weight_headers(base.path).items():
        if base.left_out and not is_of_text(name):
            continue
        shape = tensor["shape"]
        if len(shape) == 2 and name.endswith(".weight") and (".layers." in name or ".h." in name):
            linear.append((name.removesuffix(".weight"), shape[0], shape[1]))
        else:
            other += math.prod(shape)

    return Shapes(
        hidden,
        number("intermediate_size", "n_inner", default=4 * hidden),
        number("num_hidden_layers", "n_layer", default=24),
        heads,
        number("num_key_value_heads", default=heads),
        number("head_dim", default=hidden // heads),
        vocabulary,
        linear,
        other,
        base.bytes,
    )
