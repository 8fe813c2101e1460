"""Load a base for training or evaluation. Imports torch; only workers call it."""

import warnings
from pathlib import Path
from typing import Any

from converters.text_part import RENAMINGS
from edgetune.bases import find, model_shapes, nf4
from edgetune.errors import EdgeTuneError
from edgetune.machine.allocator import freed_blocks_returned

REWARD_HEAD = "score"
"""The module that gives a reward model's one number, in transformers' models for sequence classification."""

NO_ADAPTER = "no adapter"
"""A folder that no model has: transformers looks there for an adapter, and would put one that lies beside the model over it unasked."""


def load_model(folder: Path, device: str, dtype: str, quantization: str = "none", reward: bool = False) -> Any:
    """The causal language model in a folder, frozen weights held as `quantization` says ("nf4", "int8" or "none").

    Of a model that also sees or hears, the text part alone: nothing else of it is read.

    dtype: "float32", "bfloat16" or "float16", the format of the computation. reward: with a fresh head that gives one number a text
    instead of the output matrix. Safetensors only; nothing is fetched, no code is run.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification
    from transformers.utils import logging as talk

    base = find.describe_base(folder)
    find.refuse_quantized(folder, base.config)
    talk.disable_progress_bar()
    if reward or base.left_out:
        talk.set_verbosity_error()  # it would warn that the head is new, and list what is left out
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")

    compute = getattr(torch, dtype)
    kind = AutoModelForSequenceClassification if reward else AutoModelForCausalLM

    try:
        if reward:
            _let_score(base.architecture)
        packed = _packed(quantization, kind, base, device, compute, [REWARD_HEAD] if reward else None)
        config = model_config(folder)
        if reward:
            config.num_labels = 1
        with freed_blocks_returned():
            model, report = kind.from_pretrained(
                folder,
                config=config,
                key_mapping=RENAMINGS if base.left_out else None,
                output_loading_info=True,
                dtype=compute,
                quantization_config=packed,
                device_map={"": device} if packed else None,
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

    # What transformers does not find it makes up at random, with no more than a warning.
    missing = sorted(name for name in report["missing_keys"] if not name.startswith(f"{REWARD_HEAD}."))
    if missing:
        raise EdgeTuneError(f"The base in {folder} is not complete", f"{missing[0]} is not in its files.", "Get the model again.")

    prevent_repacking(model)
    if packed is not None and device == "cpu":
        copy_mapped_weights(model)
    return model.to(device) if packed is None else model


def model_config(folder: Path) -> Any:
    """transformers' configuration of the model in a folder; of one that also sees or hears, its text part's."""
    from transformers import CONFIG_MAPPING, AutoConfig

    base = find.describe_base(folder)
    if base.left_out:
        return CONFIG_MAPPING[base.architecture].from_dict(base.config)
    return AutoConfig.from_pretrained(folder, local_files_only=True)


def _let_score(architecture: str) -> None:
    """Give transformers a class for scoring with an architecture's models where it has none: its own parts, put together as its others are.

    LFM2, Gemma 4 and Granite have no such class in transformers 5. The head reads the body's last hidden state at a text's last token.
    """
    from transformers import CONFIG_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING, MODEL_MAPPING, AutoModelForSequenceClassification
    from transformers.modeling_layers import GenericForSequenceClassification

    config = CONFIG_MAPPING[architecture]
    if config in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return
    body = MODEL_MAPPING[config]
    scorer = type(f"{body.__name__}ForSequenceClassification", (GenericForSequenceClassification, body.__base__), {"config_class": config})
    AutoModelForSequenceClassification.register(config, scorer, exist_ok=True)  # without exist_ok it would do nothing, and say nothing


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
    from transformers.quantizers.base import get_keys_to_not_convert

    with torch.device("meta"):
        skeleton = kind.from_config(model_config(base.path))
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
