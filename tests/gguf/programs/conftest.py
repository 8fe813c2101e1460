"""Exported files, each loaded by other programs that are asked the same questions."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from edgetune.bases import tokenizer as tokenizers
from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.data.template import TemplateRefusal, today
from edgetune.gguf.source import from_folder
from edgetune.gguf.write import export_gguf
from tests.data.conftest import FAMILIES, make_family
from tests.fixtures.get import COMMAND, MISTRALRS, NODE_VERSION, XLLAMACPP, node_folder
from tests.fixtures.real import unpacked
from tests.gguf.programs.talking import ANSWER, RUN_ON, make_talking

HERE = Path(__file__).parent
LIMIT = 30
"""Tokens that a program may write: more than the answer has, so that a program that does not stop is seen."""
QUESTION = {"role": "user", "content": "What is the opposite of hot?"}
CONVERSATIONS = (
    [QUESTION],
    [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}, QUESTION],
    [{"role": "system", "content": "Be brief."}, QUESTION],
)
ASKED = ("Count from one to ten.", "Tell me about the moon.", "Who are you?")
"""Of the bundled model, which answers each otherwise and at some length."""
UNKNOWN = {"<|im_start|>": "<|von|>", "<|im_end|>": "<|fin|>"}
"""Marks that llama.cpp does not know by name, for the bundled model's."""
TALKING = (*FAMILIES, "unknown-end")
Messages = list[dict[str, str]]


class Exported(NamedTuple):
    """A GGUF with the tokenizer of the model it was made from, and the conversations its template accepts."""

    gguf: Path
    tokenizer: BaseTokenizer
    conversations: list[Messages]

    def prompt(self, messages: Messages) -> list[int]:
        """The ids that `edgetune chat` sends, and training learned from."""
        return self.tokenizer.encode(self.tokenizer.template.render(messages, True))

    def request(self) -> dict[str, Any]:
        """What the programs read."""
        prompts = [self.tokenizer.template.render(messages, True) for messages in self.conversations]
        return {"gguf": str(self.gguf), "conversations": self.conversations, "prompts": prompts, "limit": LIMIT}


class Asked(NamedTuple):
    """An answer: the prompt's ids in the program, the text, and why it ended ("stop", "eogToken", "length" …)."""

    prompt: list[int]
    text: str
    ended: str


def unknown_end(nano: Path, folder: Path) -> Path:
    """The bundled tokenizer with turns that end at a mark which is not its EOS."""
    folder.mkdir()
    for name in ("tokenizer.json", "chat_template.jinja", "tokenizer_config.json"):
        text = (nano / name).read_text(encoding="utf-8").replace('"eos_token": "<|im_end|>"', '"eos_token": "<|endoftext|>"')
        for old, new in UNKNOWN.items():
            text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    return folder


@pytest.fixture(scope="session")
def exported(nano: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Exported]:
    """A model that surely ends its turn for every real template and for an end that llama.cpp does not know; and the bundled model."""
    folder = tmp_path_factory.mktemp("programs")
    result: dict[str, Exported] = {}
    for name in (*TALKING, "nano"):
        model = nano if name == "nano" else folder / name
        if name == "unknown-end":
            unknown_end(nano, model)
        elif name in FAMILIES:
            make_family(model, name)
        tokenizer = tokenizers.load_tokenizer(model, today())
        if name in TALKING:
            end = tokenizer.specials[FAMILIES[name].end if name in FAMILIES else "<|fin|>"]
            size = tokenizer.inner.get_vocab_size()
            ids = {"eos_token_id": tokenizer.eos_id, "bos_token_id": tokenizer.bos_id}
            make_talking(model, tokenizer.plain(ANSWER), [end], tokenizer.plain(RUN_ON), size, **ids)
        gguf = folder / f"{name}.gguf"
        export_gguf(from_folder(model, None), ["F32" if name == "nano" else "F16"], gguf)
        conversations = [messages for messages in CONVERSATIONS if accepted(tokenizer, messages)]
        if name == "nano":
            conversations += [[{"role": "user", "content": question}] for question in ASKED]
        result[name] = Exported(gguf, tokenizer, conversations)
    return result


def accepted(tokenizer: BaseTokenizer, messages: Messages) -> bool:
    """Whether the chat template takes this conversation."""
    try:
        tokenizer.template.render(messages, True)
    except TemplateRefusal:
        return False
    return True


def run(command: list[str | Path], requests: list[dict[str, Any]], folder: Path = HERE, **variables: str) -> list[Any]:
    """A program's answers to requests, which it reads from stdin."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", **variables}
    text = json.dumps(requests)
    done = subprocess.run(command, input=text, capture_output=True, text=True, encoding="utf-8", env=environment, cwd=folder, timeout=900)
    assert done.returncode == 0, done.stderr[-3000:]
    answers: list[Any] = json.loads(done.stdout)
    return answers


def ask_llama_cpp_python(requests: list[dict[str, Any]]) -> list[Any]:
    """The binding that EdgeTune uses, with its own chat."""
    return run([sys.executable, "-I", HERE / "ask_llama_cpp_python.py"], requests)


def ask_llama_server(requests: list[dict[str, Any]], folder: Path = HERE) -> list[Any]:
    """llama-server, as xllamacpp carries it, in a folder."""
    return run([sys.executable, HERE / "ask_llama_server.py"], requests, folder, PYTHONPATH=str(unpacked(XLLAMACPP)))


def ask_node_llama_cpp(requests: list[dict[str, Any]]) -> list[Any]:
    """node-llama-cpp."""
    node = shutil.which("node")
    if node is None or not node_folder().is_dir():
        pytest.skip(f"node-llama-cpp {NODE_VERSION} is not among the fixtures, or there is no node; this gets it: {COMMAND}")
    shutil.copyfile(HERE / "ask_node_llama_cpp.mjs", node_folder() / "ask.mjs")  # a module finds packages from where it lies
    return run([node, node_folder() / "ask.mjs"], requests)


def ask_mistralrs(requests: list[dict[str, Any]]) -> list[Any]:
    """mistral.rs."""
    return run([sys.executable, HERE / "ask_mistralrs.py"], requests, PYTHONPATH=str(unpacked(MISTRALRS)))


PROGRAMS: dict[str, Callable[[list[dict[str, Any]]], list[Any]]] = {
    "llama-cpp-python": ask_llama_cpp_python,
    "llama-server": ask_llama_server,
    "node-llama-cpp": ask_node_llama_cpp,
    "mistralrs": ask_mistralrs,
}


@pytest.fixture(scope="session")
def ask(exported: dict[str, Exported]) -> Callable[[str], dict[str, list[Asked]]]:
    """A program's answers by model, one for each of its conversations; every program is started once."""
    kept: dict[str, dict[str, list[Asked]]] = {}

    def answers(program: str) -> dict[str, list[Asked]]:
        if program not in kept:
            requests = [each.request() for each in exported.values()]
            reports = PROGRAMS[program](requests)
            kept[program] = {name: [Asked(**one) for one in report] for name, report in zip(exported, reports, strict=True)}
        return kept[program]

    return answers
