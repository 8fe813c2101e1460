"""Check that a GGUF LoRA belongs to a base GGUF before llama.cpp loads either: it would abort or explain little.

The rules are those of src/llama-adapter.cpp (`llama_adapter_lora_init_impl`), where tensors that it silently skips are refused too.
"""

import math

import numpy as np

from converters.errors import ConversionError
from converters.gguf_file import ARRAY, F32, STRING, Header
from converters.weights import check_finite

FACTOR_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": None, "Q8_0": None}
"""Types of factors that llama.cpp multiplies with, and numpy's types for reading them."""
TOKEN_EMBEDDINGS, OUTPUT = "token_embd.weight", "output.weight"


def check_adapter(base: Header, adapter: Header) -> None:
    """Check an adapter's header and factors against its base. Raises ConversionError with the reason where they do not fit."""
    _check_metadata(base, adapter)
    pairs: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, info in adapter.tensors.items():
        stem, _, factor = name.rpartition(".")
        if factor not in ("lora_a", "lora_b"):
            raise _refuse(adapter, f"Its tensor {name} is not a low-rank factor; llama.cpp would ignore it.")
        if info.type not in FACTOR_DTYPES or len(info.shape) != 2:
            form = f"the type {info.type} and the shape {list(info.shape)}"
            raise _refuse(adapter, f"Its tensor {name} has {form}; factors are matrices of {', '.join(FACTOR_DTYPES)}.")
        pairs.setdefault(stem, {})[factor] = info.shape

    if not pairs:
        raise _refuse(adapter, "It contains no tensors.")

    for stem, shapes in pairs.items():
        _check_pair(base, adapter, stem, shapes)
    for name in adapter.tensors:
        _check_values(adapter, name)


def _refuse(adapter: Header, cause: str, remedy: str = "Choose an adapter made for this base.") -> ConversionError:
    return ConversionError(f"{adapter.path.name} cannot be used as an adapter", cause, remedy)


def _check_metadata(base: Header, adapter: Header) -> None:
    metadata = adapter.metadata
    kinds = {"general.type": STRING, "general.architecture": STRING, "adapter.type": STRING, "adapter.lora.alpha": F32}
    wrong = next((key for key, kind in kinds.items() if adapter.kinds.get(key) not in (kind, None)), None)
    if wrong:
        raise _refuse(adapter, f"{wrong} has the wrong type.", "Create the adapter file again.")

    if metadata.get("general.type") != "adapter":
        kind = metadata.get("general.type")
        named = f"Its general.type is {kind!r}: it is a model, not an adapter."
        raise _refuse(adapter, named if kind is not None else "It has no general.type, so it is not an adapter.")
    if metadata.get("adapter.type") != "lora":
        raise _refuse(adapter, f"Its adapter.type is {metadata.get('adapter.type')!r}; only 'lora' is known.")
    if metadata.get("general.architecture") != base.metadata.get("general.architecture"):
        raise _refuse(
            adapter,
            f"It is for the architecture {metadata.get('general.architecture')!r}; "
            f"the base's is {base.metadata.get('general.architecture')!r}.",
        )
    if not math.isfinite(metadata.get("adapter.lora.alpha", 0.0)):
        raise _refuse(adapter, "Its adapter.lora.alpha is not a finite number.", "Create the adapter file again.")
    if adapter.kinds.get("adapter.alora.invocation_tokens") == ARRAY or "adapter.alora.invocation_tokens" in metadata:
        raise _refuse(adapter, "It is an activated LoRA, which starts at certain tokens; that is not supported.")


def _check_pair(base: Header, adapter: Header, stem: str, shapes: dict[str, tuple[int, ...]]) -> None:
    """Shapes in ggml's order, the row length first."""
    if len(shapes) != 2:
        raise _refuse(adapter, f"Of {stem} it holds only {', '.join(shapes)}.", "Create the adapter file again.")
    if stem not in base.tensors:
        raise _refuse(adapter, f"It changes {stem}, which the base does not have.")

    shape = base.tensors[stem].shape
    a = shapes["lora_a"]
    b = shapes["lora_b"]
    if stem == TOKEN_EMBEDDINGS:
        if OUTPUT not in base.tensors:
            raise _refuse(
                adapter,
                "It changes the embeddings, which are also the output matrix in this base; llama.cpp aborts on that.",
                "Export a model with the adapter merged (leave --adapter-only out).",
            )
        expected = ((b[0], shape[1]), (b[0], shape[0]))
    else:
        expected = ((shape[0], a[1]), (a[1], shape[1]))
    if len(shape) != 2 or (a, b) != expected:
        raise _refuse(
            adapter, f"For {stem}, {list(shape)} in the base, it holds {list(a)} and {list(b)}: these are the shapes of another base."
        )


def _check_values(adapter: Header, name: str) -> None:
    dtype = FACTOR_DTYPES[adapter.tensors[name].type]
    if dtype:
        check_finite(adapter.raw(name).view(dtype), name, adapter.path)
    elif adapter.tensors[name].type == "BF16":
        check_finite((adapter.raw(name).view("<u2").astype(np.uint32) << 16).view(np.float32), name, adapter.path)
