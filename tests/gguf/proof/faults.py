"""Exports that are wrong on purpose, made by tampering with what the converter is given, and what the proof must say of each."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from converters import convert
from converters.archs import SAME, Build
from converters.gguf_file import boolean, f32, strings, u32
from edgetune.gguf.source import Source

Plan = convert.Plan
VALUE, KEYS, QUERY = "blk.1.attn_v.weight", "blk.1.attn_k.weight", "blk.2.attn_q.weight"
"""Tensors that faults are made in."""


def plan(source: Source, adapter: Path | None, chat_template: str = "") -> Plan:
    """The conversion of a source, with another adapter or template."""
    template = chat_template or source.template
    return convert.plan_gguf(source.model, adapter, [], chat_template=template, name=source.name, extra=source.facts)


def write(conversion: Plan, type_name: str, path: Path) -> Path:
    """The conversion's file."""
    with open(path, "wb") as file:
        conversion.write(type_name, file, threads=1)
    return path


def scaled(source: Source, factor: float, folder: Path, only: str = "") -> Plan:
    """With the adapter at so many times its strength, in all modules or in those whose name holds `only`."""
    from safetensors.numpy import load_file, save_file

    assert source.adapter
    shutil.copytree(source.adapter, folder, dirs_exist_ok=True)
    weights = load_file(folder / "adapter_model.safetensors")
    changed = {name: value * np.float32(factor) for name, value in weights.items() if "lora_B" in name and only in name}
    assert changed
    save_file(weights | changed, folder / "adapter_model.safetensors")
    return plan(source, folder)


def rebuilt(conversion: Plan, name: str, change: Callable[[Build], Build]) -> Plan:
    """With one tensor made another way: `change` gets the way it is made and returns another."""
    tensor = next(tensor for tensor in conversion.tensors if tensor.name == name)
    return conversion.replaced([dataclasses.replace(tensor, build=change(tensor.build))])


def with_metadata(conversion: Plan, **changes: Any) -> Plan:
    """With metadata changed (dots in keys written as double underscores)."""
    return conversion.replaced(metadata={key.replace("__", "."): value for key, value in changes.items()})


def left_out(source: Source, folder: Path) -> Plan:
    """Without the adapter."""
    return plan(source, None)


def single_lost(source: Source, folder: Path) -> Plan:
    """With the learned change of one tensor lost."""
    return scaled(source, 0.0, folder, "layers.1.self_attn.v_proj")


def bos_doubled(source: Source, folder: Path) -> Plan:
    """With a BOS too many: from the template where the base has one, else from the vocabulary."""
    conversion = plan(source, source.adapter, chat_template="{{ bos_token }}{{ bos_token }}" + source.template)
    if conversion.metadata("F32")["tokenizer.ggml.add_bos_token"].data:
        return conversion
    return with_metadata(plan(source, source.adapter), tokenizer__ggml__add_bos_token=boolean(True), tokenizer__ggml__bos_token_id=u32(1))


def other_template(source: Source, folder: Path) -> Plan:
    """With another template."""
    return plan(source, source.adapter, chat_template=source.template.replace("'\\n'", "' '").replace("User:", "Human:"))


def rolled(source: Source, folder: Path) -> Plan:
    """With the rows of one attention tensor moved by one."""
    return rebuilt(plan(source, source.adapter), QUERY, lambda build: Build(lambda values: np.roll(build(values), 1, axis=0)))


def not_permuted(source: Source, folder: Path) -> Plan:
    """With one attention tensor's rows in the order of transformers."""
    return rebuilt(plan(source, source.adapter), KEYS, lambda build: SAME)


def zeroed(source: Source, folder: Path) -> Plan:
    """With one tensor zero."""
    return rebuilt(plan(source, source.adapter), VALUE, lambda build: Build(np.zeros_like))


def rope_wrong(source: Source, folder: Path) -> Plan:
    """With another rope base."""
    return with_metadata(plan(source, source.adapter), llama__rope__freq_base=f32(20000.0))


def ids_swapped(source: Source, folder: Path) -> Plan:
    """With two of the vocabulary's tokens in each other's place."""
    conversion = plan(source, source.adapter)
    tokens = list(conversion.metadata("F32")["tokenizer.ggml.tokens"].data)
    tokens[400], tokens[420] = tokens[420], tokens[400]
    return with_metadata(conversion, tokenizer__ggml__tokens=strings(tokens))


Fault = Callable[[Source, Path], Plan]
FAULTS: dict[str, tuple[Fault, str]] = {
    "left out": (left_out, "nothing of what was learned: the adapter was left out"),
    "at 0.8": (lambda source, folder: scaled(source, 0.8, folder), r"holds 0\.(79|80|81) of what was learned"),
    "at 1.1": (lambda source, folder: scaled(source, 1.1, folder), r"holds 1\.(09|1[012]) of what was learned"),
    "at 1.5": (lambda source, folder: scaled(source, 1.5, folder), r"holds 1\.(4[89]|5[012]) of what was learned"),
    "single lost": (single_lost, f"the tensor {VALUE} holds"),
    "BOS doubled": (bos_doubled, "BOS "),
    "other template": (other_template, "the template differs"),
    "rolled": (rolled, f"the tensor {QUERY}: far off"),
    "not permuted": (not_permuted, "the order of a tensor's rows"),
    "zeroed": (zeroed, f"the tensor {VALUE}: all zeros"),
    "rope wrong": (rope_wrong, "the rope base is 20000 in the file and 10000 in the model"),
    "ids swapped": (ids_swapped, "the tokens 400 and 420 are swapped"),
}
"""By name: how it is made, and what the first cause must say (a pattern; at Q4_0 a share is known within a hundredth or two)."""
SHARED = ("not permuted",)
"""Faults that the reader has too."""
