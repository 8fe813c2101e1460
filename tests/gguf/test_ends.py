"""A base whose EOS is not the mark that ends its turns, and whose mark llama.cpp does not know by its text: it must stop there."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters.gguf_file import read_header
from converters.special_tokens import STOP_TOKENS
from edgetune.chat.engine import Engine
from edgetune.gguf.proof.text import check_text
from edgetune.gguf.source import from_folder, source_tokenizer, template_marks
from edgetune.gguf.write import export_gguf

Call = Callable[..., tuple[int, str, str]]
BEGIN, END = "<|von|>", "<|fin|>"


@pytest.fixture
def base(nano: Path, tmp_path: Path) -> Path:
    """The bundled model with marks of its own for turns, and the end of all text as its EOS."""
    folder = shutil.copytree(nano, tmp_path / "base", copy_function=shutil.copyfile)
    for name in ("tokenizer.json", "chat_template.jinja"):
        text = (folder / name).read_text(encoding="utf-8").replace("<|im_start|>", BEGIN).replace("<|im_end|>", END)
        (folder / name).write_text(text, encoding="utf-8")
    for name, change in (
        ("tokenizer_config.json", {"eos_token": "<|endoftext|>"}),
        ("config.json", {"eos_token_id": 0}),
        ("generation_config.json", {"eos_token_id": 0}),
    ):
        values = json.loads((folder / name).read_text(encoding="utf-8"))
        (folder / name).write_text(json.dumps(values | change), encoding="utf-8")
    return folder


def test_llama_cpp_alone_stops_at_the_end_of_a_turn(base: Path, tmp_path: Path) -> None:
    """Through llama-cpp-python's own chat, which knows nothing of EdgeTune's rules."""
    from llama_cpp import Llama

    assert END not in STOP_TOKENS
    source = from_folder(base, None)
    assert template_marks(source) == {"ends": [END], "opens": True}
    export_gguf(source, ["Q8_0"], tmp_path / "m.gguf")
    assert read_header(tmp_path / "m.gguf").metadata["tokenizer.ggml.eot_token_id"] == 2
    model: Any = Llama(str(tmp_path / "m.gguf"), n_ctx=256, verbose=False, n_threads=1)
    asked = [{"role": "user", "content": "What is the opposite of hot?"}]
    answer = model.create_chat_completion(asked, max_tokens=60, temperature=0)["choices"][0]
    assert answer["finish_reason"] == "stop" and answer["message"]["content"].strip()


def test_a_file_at_whose_end_llama_cpp_does_not_stop_fails_its_proof(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = from_folder(base, None)
    tokenizer = source_tokenizer(source)
    export_gguf(source, ["Q8_0"], tmp_path / "right.gguf")
    monkeypatch.setattr("edgetune.gguf.write.template_marks", lambda source: {})
    export_gguf(source, ["Q8_0"], tmp_path / "wrong.gguf")
    with Engine(tmp_path / "right.gguf", kv="f32") as engine:
        assert check_text(engine, tokenizer, [], []).passed
    with Engine(tmp_path / "wrong.gguf", kv="f32") as engine:
        check = check_text(engine, tokenizer, [], [])
    assert check.figures["stops_missed"] == 1 and f"does not stop at '{END}'" in check.causes[0]


def test_every_folder_for_another_program_names_the_ends(base: Path, tmp_path: Path, edgetune: Call) -> None:
    programs = ("--for", "ollama", "--for", "lmstudio", "--for", "llama-server")
    assert edgetune("export", base, "--type", "Q8_0", "--out", tmp_path / "out", *programs)[0] == 0
    out = tmp_path / "out"
    assert f'PARAMETER stop "{END}"' in (out / "base-Q8_0-ollama" / "Modelfile").read_text(encoding="utf-8")
    preset = json.loads((out / "base-Q8_0-lmstudio" / "base.preset.json").read_text(encoding="utf-8"))
    fields = {field["key"]: field["value"] for field in preset["operation"]["fields"]}
    assert fields["llm.prediction.stopStrings"] == [END, "<|endoftext|>"]
    folder = out / "base-Q8_0-llama-server"
    assert f"--reverse-prompt '{END}'" in (folder / "serve.sh").read_text(encoding="utf-8")
    assert f'--reverse-prompt "{END}"' in (folder / "serve.bat").read_text(encoding="utf-8")
