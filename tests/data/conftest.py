"""Eight real chat templates, each with a tokenizer that knows its marks."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgetune.bases import tokenizer as tokenizers
from edgetune.data.template import today
from tests.fixtures.real import chat_template, tokenizer_folder


@dataclass(frozen=True)
class Family:
    """A chat template's file, its tokenizer, the marks to add to it, and what ends a turn."""

    template: str
    tokenizer: str
    marks: tuple[str, ...]
    end: str


FAMILIES = {
    "qwen2.5": Family("Qwen-Qwen2.5-7B-Instruct", "qwen2", (), "<|im_end|>"),
    "qwen3": Family("Qwen-Qwen3-0.6B", "qwen2", (), "<|im_end|>"),
    "smollm3": Family("HuggingFaceTB-SmolLM3-3B", "qwen2", (), "<|im_end|>"),
    "llama3.2": Family("meta-llama-Llama-3.2-3B-Instruct", "llama-bpe", (), "<|eot_id|>"),
    "phi3.5": Family("microsoft-Phi-3.5-mini-instruct", "phi-3", (), "<|end|>"),
    "gemma2": Family("google-gemma-2-2b-it", "llama2", ("<start_of_turn>", "<end_of_turn>"), "<end_of_turn>"),
    "granite3": Family(
        "ibm-granite-granite-3.3-2B-Instruct", "llama2", ("<|start_of_role|>", "<|end_of_role|>", "<|end_of_text|>"), "<|end_of_text|>"
    ),
    "nemo": Family(
        "mistralai-Mistral-Nemo-Instruct-2407",
        "llama2",
        ("[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
        "</s>",
    ),
}


def make_family(folder: Path, name: str) -> Path:
    """A folder with the tokenizer, its added marks, and the chat template, as a model folder has them."""
    from tokenizers import AddedToken, Tokenizer

    family = FAMILIES[name]
    shutil.copytree(tokenizer_folder(family.tokenizer), folder, copy_function=shutil.copyfile)
    inner = Tokenizer.from_file(str(folder / "tokenizer.json"))
    inner.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in family.marks])
    inner.save(str(folder / "tokenizer.json"))
    shutil.copyfile(chat_template(family.template), folder / "chat_template.jinja")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return folder


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tokenizers.BaseTokenizer]:
    """The tokenizer of a family by name, made once."""
    loaded: dict[str, tokenizers.BaseTokenizer] = {}

    def get(name: str) -> tokenizers.BaseTokenizer:
        if name not in loaded:
            folder = make_family(tmp_path_factory.mktemp("family") / name, name)
            loaded[name] = tokenizers.load_tokenizer(folder, today())
        return loaded[name]

    return get
