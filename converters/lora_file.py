"""Whether a GGUF LoRA belongs to a base GGUF, found out before llama.cpp, which would abort or say little, sees either.

The rules are those of src/llama-adapter.cpp (`llama_adapter_lora_init_impl`), where what it skips in silence is refused too.
"""

import math

import numpy as np

from converters.errors import ConversionError
from converters.gguf_file import ARRAY, F32, STRING, Header
from converters.weights import check_finite

FACTOR_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": None, "Q8_0": None}
"""Types of factors that llama.cpp multiplies with, and those of numpy that show what is in them."""
TOKEN_EMBEDDINGS, OUTPUT = "token_embd.weight", "output.weight"


def check_adapter(base: Header, adapter: Header) -> None:
    """Hold an adapter's header and factors against its base. Raises ConversionError with the reason where they do not go together."""
    _check_metadata(base, adapter)
    pairs: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, info in adapter.tensors.items():
        stem, _, factor = name.rpartition(".")
        if factor not in ("lora_a", "lora_b"):
            raise _refuse(adapter, f"Its tensor {name} is no low-rank factor; llama.cpp would leave it out.")
        if info.type not in FACTOR_DTYPES or len(info.shape) != 2:
            raise _refuse(adapter, f"Its tensor {name} has the type {info.type} and the shape {list(info.shape)}.")
        pairs.setdefault(stem, {})[factor] = info.shape
    if not pairs:
        raise _refuse(adapter, "It holds no tensor.")
    for stem, shapes in pairs.items():
        _check_pair(base, adapter, stem, shapes)
    for name in adapter.tensors:
        _check_values(adapter, name)


def _refuse(adapter: Header, cause: str, remedy: str = "Choose an adapter made for this base.") -> ConversionError:
    return ConversionError(f"{adapter.path.name} cannot be used as an adapter", cause, remedy)


def _check_metadata(base: Header, adapter: Header) -> None:
    said = adapter.metadata
    wrong = next(
        (
            key
            for key, kind in (
                ("general.type", STRING),
                ("general.architecture", STRING),
                ("adapter.type", STRING),
                ("adapter.lora.alpha", F32),
            )
            if adapter.kinds.get(key) not in (kind, None)
        ),
        None,
    )
    if wrong:
        raise _refuse(adapter, f"{wrong} is of another kind than it should be.", "Make the file anew.")
    if said.get("general.type") != "adapter":
        raise _refuse(
            adapter,
            f"Its general.type is {said.get('general.type')!r}: it is a model, not an adapter."
            if "general.type" in said
            else "It has no general.type: it is no adapter.",
        )
    if said.get("adapter.type") != "lora":
        raise _refuse(adapter, f"Its adapter.type is {said.get('adapter.type')!r}; only 'lora' is known.")
    if said.get("general.architecture") != base.metadata.get("general.architecture"):
        raise _refuse(
            adapter,
            f"It is for the architecture {said.get('general.architecture')!r}; "
            f"the base's is {base.metadata.get('general.architecture')!r}.",
        )
    if not math.isfinite(said.get("adapter.lora.alpha", 0.0)):
        raise _refuse(adapter, "Its adapter.lora.alpha is not a finite number.", "Make the file anew.")
    if adapter.kinds.get("adapter.alora.invocation_tokens") == ARRAY or "adapter.alora.invocation_tokens" in said:
        raise _refuse(adapter, "It works only from certain tokens on (activated LoRA), which is not done here.")


def _check_pair(base: Header, adapter: Header, stem: str, shapes: dict[str, tuple[int, ...]]) -> None:
    """Shapes in ggml's order, the row length first."""
    if len(shapes) != 2:
        raise _refuse(adapter, f"Of {stem} it holds {', '.join(shapes)} alone.", "Make the file anew.")
    if stem not in base.tensors:
        raise _refuse(adapter, f"It changes {stem}, which the base does not have.")
    shape, a, b = base.tensors[stem].shape, shapes["lora_a"], shapes["lora_b"]
    if stem == TOKEN_EMBEDDINGS:
        if OUTPUT not in base.tensors:
            raise _refuse(
                adapter,
                "It changes the embeddings, which are the output matrix too in this base; llama.cpp aborts at that.",
                "Use a model with the adapter merged.",
            )
        expected = ((b[0], shape[1]), (b[0], shape[0]))
    else:
        expected = ((shape[0], a[1]), (a[1], shape[1]))
    if len(shape) != 2 or (a, b) != expected:
        raise _refuse(adapter, f"For {stem}, {list(shape)} in the base, it holds {list(a)} and {list(b)}: another base's shapes.")


def _check_values(adapter: Header, name: str) -> None:
    dtype = FACTOR_DTYPES[adapter.tensors[name].type]
    if dtype:
        check_finite(adapter.raw(name).view(dtype), name, adapter.path)
    elif adapter.tensors[name].type == "BF16":
        check_finite((adapter.raw(name).view("<u2").astype(np.uint32) << 16).view(np.float32), name, adapter.path)
