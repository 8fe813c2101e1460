"""Load a base for training or evaluation. Imports torch; only workers call it."""

import warnings
from pathlib import Path
from typing import Any

from edgetune import shapes
from edgetune.allocator import freed_blocks_returned
from edgetune.bases import find, nf4
from edgetune.errors import EdgeTuneError

HEAD = "score"
"""The module that gives a reward model's one number, in transformers' models for sequence classification."""


def load(folder: Path, device: str, dtype: str, quantization: str = "none", reward: bool = False) -> Any:
    """The causal language model in a folder, frozen weights held as `quantization` says ("nf4", "int8" or "none").

    dtype: "float32", "bfloat16" or "float16", the format of the computation. reward: with a fresh head that gives one number a text
    instead of the output matrix. Safetensors only; nothing is fetched, no code is run.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, BitsAndBytesConfig
    from transformers.utils import logging as talk

    base = find.describe(folder)
    find.full_precision(folder, base.config)
    talk.disable_progress_bar()
    if reward:
        talk.set_verbosity_error()  # it would warn that the head is new
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    compute = getattr(torch, dtype)
    kind = AutoModelForSequenceClassification if reward else AutoModelForCausalLM
    config = None
    if quantization == "nf4":
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=compute,
            llm_int8_skip_modules=_whole(kind, base, device) or ([HEAD] if reward else None),
        )
    elif quantization == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=[HEAD] if reward else None)
    try:
        with freed_blocks_returned():
            model = kind.from_pretrained(
                folder,
                **({"num_labels": 1} if reward else {}),
                dtype=compute,
                quantization_config=config,
                device_map={"": device} if config else None,
                local_files_only=True,
                use_safetensors=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise EdgeTuneError(
            f"The base in {folder} cannot be loaded",
            f"{type(error).__name__}: {error}",
            "Check that the folder is complete and its architecture known to transformers.",
        ) from error
    keep_packed_weights(model)
    if config is not None and device == "cpu":
        let_go_of_the_file(model)
    return model.to(device) if config is None else model


def _whole(kind: Any, base: find.Base, device: str) -> list[str]:
    """Names of modules that stay as they are beside NF4, with those that transformers leaves anyway; none where all can be packed."""
    if not any(nf4.misread(size, device) for _, *sizes in shapes.of(base).linear for size in sizes):
        return []
    import torch
    from transformers import AutoConfig
    from transformers.pytorch_utils import Conv1D
    from transformers.quantizers.base import get_keys_to_not_convert

    with torch.device("meta"):
        skeleton = kind.from_config(AutoConfig.from_pretrained(base.path, local_files_only=True))
    found = []
    for name, module in skeleton.named_modules():
        columns = module.nx if isinstance(module, Conv1D) else module.in_features if isinstance(module, torch.nn.Linear) else nf4.BLOCK
        if nf4.misread(columns, device):
            found.append(name)
    return [*get_keys_to_not_convert(skeleton), HEAD, *found] if found else []


def let_go_of_the_file(model: Any) -> None:
    """Copy the weights that were not quantized: they lie in the mapped file, all of whose pages, read once, would count as ours."""
    for weight in model.parameters():
        if weight.is_floating_point():
            weight.data = weight.data.clone()


def keep_packed_weights(model: Any) -> None:
    """Stop bitsandbytes 0.50 from repacking NF4 weights at the first forward without gradients on CPUs with AVX512-BF16.

    The repacked weights crash on some shapes and make every training step after an evaluation silently wrong on others.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
