"""Load a base for training or evaluation. Imports torch; only workers call it."""

import warnings
from pathlib import Path
from typing import Any

from edgetune.bases import find, model_shapes, nf4
from edgetune.errors import EdgeTuneError
from edgetune.machine.allocator import freed_blocks_returned

REWARD_HEAD = "score"
"""The module that gives a reward model's one number, in transformers' models for sequence classification."""

NO_ADAPTER = "no adapter"
"""A folder that no model has: transformers looks there for an adapter, and would put one that lies beside the model over it unasked."""


def load_model(folder: Path, device: str, dtype: str, quantization: str = "none", reward: bool = False) -> Any:
    """The causal language model in a folder, frozen weights held as `quantization` says ("nf4", "int8" or "none").

    dtype: "float32", "bfloat16" or "float16", the format of the computation. reward: with a fresh head that gives one number a text
    instead of the output matrix. Safetensors only; nothing is fetched, no code is run.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
    from transformers.utils import logging as talk

    base = find.describe_base(folder)
    find.refuse_quantized(folder, base.config)
    talk.disable_progress_bar()
    if reward:
        talk.set_verbosity_error()  # it would warn that the head is new
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")

    compute = getattr(torch, dtype)
    kind = AutoModelForSequenceClassification if reward else AutoModelForCausalLM

    try:
        config = _packed(quantization, kind, base, device, compute, [REWARD_HEAD] if reward else None)
        with freed_blocks_returned():
            model = kind.from_pretrained(
                folder,
                **({"num_labels": 1} if reward else {}),
                dtype=compute,
                quantization_config=config,
                device_map={"": device} if config else None,
                local_files_only=True,
                use_safetensors=True,
                adapter_kwargs={"subfolder": NO_ADAPTER},
            )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise EdgeTuneError(
            f"The base in {folder} cannot be loaded",
            f"{type(error).__name__}: {error}",
            "Check that the folder is complete and its architecture known to transformers.",
        ) from error

    prevent_repacking(model)
    if config is not None and device == "cpu":
        copy_mapped_weights(model)
    return model.to(device) if config is None else model


def _packed(quantization: str, kind: Any, base: find.Base, device: str, compute: Any, skipped: list[str] | None) -> Any:
    """bitsandbytes' settings; None for none. skipped: modules that stay as they are, None for those that transformers leaves anyway."""
    from transformers import BitsAndBytesConfig

    if quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skipped)
    if quantization != "nf4":
        return None
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
        llm_int8_skip_modules=_with_misread(kind, base, device, skipped),
    )


def _with_misread(kind: Any, base: find.Base, device: str, skipped: list[str] | None) -> list[str] | None:
    """The modules to skip, with those that would be misread in NF4 on a device. Some files hold matrices turned: either side counts."""
    if not any(nf4.is_misread(size, device) for _, *sizes in model_shapes.read_shapes(base).linear for size in sizes):
        return skipped
    import torch
    from transformers import AutoConfig
    from transformers.quantizers.base import get_keys_to_not_convert

    with torch.device("meta"):
        skeleton = kind.from_config(AutoConfig.from_pretrained(base.path, local_files_only=True))
    misread = [name for name, module in skeleton.named_modules() if (width := nf4.row_width(module)) and nf4.is_misread(width, device)]
    return [*(get_keys_to_not_convert(skeleton) if skipped is None else skipped), *misread]


def copy_mapped_weights(model: Any) -> None:
    """Copy the weights that were not quantized: they lie in the mapped file, all of whose pages, read once, would count as ours."""
    for weight in model.parameters():
        if weight.is_floating_point():
            weight.data = weight.data.clone()


def prevent_repacking(model: Any) -> None:
    """Stop bitsandbytes 0.50 from repacking NF4 weights at the first forward without gradients on CPUs with AVX512-BF16.

    The repacked weights crash on some shapes and make every training step after an evaluation silently wrong on others.
    """
    from bitsandbytes.nn import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False
