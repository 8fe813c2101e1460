"""Folders for other programs: what is in them, that they hold together, and that they land whole or not at all."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from converters.gguf_file import read_header
from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.data.template import ChatTemplate, TemplateRefusal
from edgetune.gguf import runtimes
from edgetune.gguf.runtimes.go.reference import Reference
from edgetune.gguf.runtimes.product import Product, with_date_written_out
from edgetune.storage import files
from tests.data.conftest import FAMILIES
from tests.data.conftest import family as family
from tests.gguf.runtimes.conftest import GoRender
from tests.gguf.runtimes.test_go_templates import as_go, drawn

Call = Callable[..., tuple[int, str, str]]


def modelfile(text: str) -> list[tuple[str, str]]:
    """Commands of a Modelfile, read as Ollama's parser does: values end at a line's end that is not inside quotes."""
    commands, lines = [], iter(text.split("\n"))
    for line in lines:
        if not line or line.startswith("#"):
            continue
        name, value = line.split(" ", 1)
        if name == "PARAMETER":
            name, value = value.split(" ", 1)
        for quote in ('"""', '"'):
            if value.startswith(quote):
                while not (value.endswith(quote) and len(value) >= 2 * len(quote)):
                    value += "\n" + next(lines)
                value = value[len(quote) : -len(quote)]
                break
        commands.append((name, value))
    return commands


def test_each_program_has_a_file() -> None:
    here = {path.stem.replace("_", "-") for path in Path(runtimes.__file__).parent.glob("*.py")} - {"--init--", "product"}
    assert here == set(runtimes.PROGRAMS)
    assert all(runtimes.module(name).TITLE for name in runtimes.PROGRAMS)


def test_folders_hold_one_copy_of_the_model(edgetune: Call, tmp_path: Path) -> None:
    arguments = [word for name in runtimes.PROGRAMS for word in ("--for", name)]
    code, out, err = edgetune("export", "nano", "--type", "Q8_0", "--out", tmp_path, "--json", *arguments)
    assert code == 0, err
    (export,) = json.loads(out)
    assert [folder["program"] for folder in export["for"]] == list(runtimes.PROGRAMS)
    gguf = Path(export["path"])
    locations = ["nano-Q8_0.gguf", "edgetune/nano/nano-Q8_0.gguf", "nano-Q8_0.gguf"]
    for folder, location in zip(export["for"], locations, strict=True):
        assert (Path(folder["path"]) / location).samefile(gguf)
        assert (Path(folder["path"]) / "README.txt").is_file()
    assert files.folder_bytes(tmp_path) < 1.1 * gguf.stat().st_size
    assert not [p for p in tmp_path.rglob("*") if p.name.endswith(files.TEMPORARY)]


def test_the_modelfile_gives_the_prompts_of_chat(edgetune: Call, nano: Path, tmp_path: Path, go_render: GoRender) -> None:
    assert edgetune("export", "nano", "--type", "Q8_0", "--out", tmp_path, "--for", "ollama")[0] == 0
    folder = tmp_path / "nano-Q8_0-ollama"
    commands = modelfile((folder / "Modelfile").read_text(encoding="utf-8"))
    values = dict(commands)
    header = read_header(folder / values["FROM"])
    assert "SYSTEM" not in values
    assert int(values["num_ctx"]) == header.metadata["llama.context_length"]
    assert next(value for name, value in commands if name == "stop") == "<|im_end|>"
    assert (values["temperature"], values["repeat_penalty"]) == ("0.7", "1.0")
    template = ChatTemplate(str(header.metadata["tokenizer.chat_template"]), date=str(header.metadata["edgetune.template_date"]))
    conversations = [messages for messages in map(drawn, range(100)) if messages[-1]["role"] == "user"]
    results = go_render(values["TEMPLATE"], [as_go(messages, False) for messages in conversations])
    assert [r["text"] for r in results] == [template.render(messages, True) for messages in conversations]


@pytest.mark.parametrize("name", FAMILIES)
def test_modelfiles_of_real_templates_can_be_read(name: str, family: Callable[[str], BaseTokenizer], go_render: GoRender) -> None:
    """Through the Modelfile, with the family's tokenizer: the prompt less the BOS that the tokenizer adds, and the right stop words."""
    tokenizer = family(name)
    product = Product(name, tokenizer.template, tokenizer, 100_000)
    layout = runtimes.module("ollama").layout(product, "x.gguf")
    commands = modelfile(layout.texts["Modelfile"])
    values = dict(commands)
    assert (values["FROM"], values["num_ctx"]) == ("./x.gguf", "4096")
    stops = [value for key, value in commands if key == "stop"]
    assert stops == list(dict.fromkeys([FAMILIES[name].end, tokenizer.template.eos_token]))
    assert all(c.isprintable() or c == "\n" for c in layout.texts["Modelfile"]), "Ollama drops characters that do not print"
    assert product.tools == any("tool calls are left out" in note for note in layout.notes)
    reference, compared = Reference(tokenizer.template, tokenizer.adds_bos), 0
    for messages in map(drawn, range(40)):
        try:
            expected = reference.render(messages)
        except TemplateRefusal:
            continue
        (result,) = go_render(values["TEMPLATE"], [as_go(messages, False)])
        if not result["error"]:
            assert result["text"] == expected
            assert tokenizer.encode(result["text"]) == tokenizer.encode(tokenizer.template.bos_token * tokenizer.adds_bos + expected)
            compared += 1
    assert compared > 10


def test_a_plain_template_stops_at_the_end_of_text(family: Callable[[str], BaseTokenizer]) -> None:
    from edgetune.data.template import PLAIN_TEMPLATE

    tokenizer = family("phi3.5")
    template = replace(tokenizer.template, source=PLAIN_TEMPLATE)
    assert Product("x", template, tokenizer, 512).stops == [template.eos_token]
    spoken = "{% for m in messages %}{{ '\\n\\n' + m.role + ': ' + m.content }}{% endfor %}"
    spoken += "{% if add_generation_prompt %}\n\nassistant:{% endif %}"
    product = Product("x", replace(template, source=spoken), tokenizer, 512)
    assert product.stops == ["\n\nuser:", template.eos_token]
    commands = modelfile(runtimes.module("ollama").layout(product, "x.gguf").texts["Modelfile"])
    assert [value for key, value in commands if key == "stop"] == product.stops

    # A template for one question and one answer ends the answer as in chat, with what it writes at the very end.
    single = "{% if messages | length > 2 %}{{ raise_exception('one question only') }}{% endif %}"
    single += "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content + '<|end|>' }}{% endfor %}"
    assert Product("x", replace(template, source=single), tokenizer, 512).stops == ["<|end|>", template.eos_token]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_preset_has_the_system_message_that_the_template_writes_by_itself(name: str, family: Callable[[str], BaseTokenizer]) -> None:
    tokenizer = family(name)
    question = [{"role": "user", "content": "Hi"}]
    preset = json.loads(
        runtimes.module("lmstudio").layout(Product("x", tokenizer.template, tokenizer, 512), "x.gguf").texts["x.preset.json"]
    )
    fields = {field["key"]: field["value"] for field in preset["operation"]["fields"]}
    sent = fields.get("llm.prediction.systemPrompt")
    assert (sent is not None) == (name in ("qwen2.5", "granite3"))
    if sent is not None:
        assert "You are " in sent
        assert tokenizer.template.render([{"role": "system", "content": sent}, *question], True) == tokenizer.template.render(
            question, True
        )


@pytest.mark.parametrize("name", ["llama3.2", "granite3"])
def test_a_written_out_date_no_longer_changes(name: str, family: Callable[[str], BaseTokenizer]) -> None:
    template = replace(family(name).template, date="2024-05-06")
    source = with_date_written_out(template)
    assert source is not None and "strftime_now(" not in source
    for messages in ([{"role": "user", "content": "a"}], [{"role": "system", "content": "b"}, {"role": "user", "content": "a"}]):
        assert replace(template, source=source, date="2030-01-01").render(messages, True) == template.render(messages, True)
    assert with_date_written_out(replace(template, source="{{ strftime_now(pattern | default('%d')) }}")) is None


@pytest.mark.skipif(os.name == "nt", reason="a shell script")
def test_the_script_runs_from_anywhere(edgetune: Call, tmp_path: Path) -> None:
    """With a stand-in that prints what llama-server would be told, and a folder with a space in its name."""
    out = tmp_path / "my models"
    assert edgetune("export", "nano", "--type", "Q8_0", "--out", out, "--for", "llama-server")[0] == 0
    (tmp_path / "bin").mkdir()
    stand_in = tmp_path / "bin" / "llama-server"
    stand_in.write_text('#!/bin/sh\npwd\nfor one in "$@"; do echo "$one"; done\n')
    stand_in.chmod(0o755)
    folder = out / "nano-Q8_0-llama-server"
    environment = {**os.environ, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([folder / "serve.sh", "--port", "9000"], env=environment, cwd="/", capture_output=True, text=True, check=True)
    where, *arguments = done.stdout.splitlines()
    assert Path(where) == folder and (folder / arguments[arguments.index("--model") + 1]).is_file()
    assert "--jinja" in arguments and arguments[-2:] == ["--port", "9000"]
    assert arguments[arguments.index("--ctx-size") + 1] == "1024"
    batch = (folder / "serve.bat").read_bytes()
    assert batch.count(b"\r\n") == batch.count(b"\n") and b"%*" in batch


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--for", "winamp"], "not a program"),
        (["--for", "ollama", "--adapter-only"], "cannot be combined with --adapter-only"),
    ],
)
def test_wrong_words_are_refused(arguments: list[str], reason: str, edgetune: Call, tmp_path: Path) -> None:
    code, out, err = edgetune("export", "nano", "--out", tmp_path / "out", *arguments)
    assert (code, out) == (2, "") and reason in err
    assert not (tmp_path / "out").exists()


def test_a_template_that_cannot_be_matched_is_refused_before_the_export(edgetune: Call, nano: Path, tmp_path: Path) -> None:
    model = tmp_path / "odd"
    shutil.copytree(nano.resolve(), model)
    (model / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}{{ loop.index }}{{ m.content | upper }}{% endfor %}")
    code, out, err = edgetune("export", model, "--out", tmp_path / "out", "--for", "ollama")
    assert (code, out) == (2, "") and "Ollama cannot be given this model's chat template" in err and "--for llama-server" in err
    assert not (tmp_path / "out").exists()
    assert edgetune("export", model, "--type", "Q8_0", "--out", tmp_path / "out", "--for", "llama-server")[0] == 0


def test_a_folder_that_is_there_is_left_alone(edgetune: Call, tmp_path: Path) -> None:
    own = tmp_path / "nano-Q8_0-ollama" / "Modelfile"
    own.parent.mkdir()
    own.write_text("mine")
    code, _, err = edgetune("export", "nano", "--type", "Q8_0", "--out", tmp_path, "--for", "ollama")
    assert code == 2 and "already there" in err
    assert own.read_text() == "mine" and not (tmp_path / "nano-Q8_0.gguf").exists()


def test_a_disk_without_hard_links_gets_a_copy(edgetune: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    code, _, err = edgetune("export", "nano", "--type", "Q8_0", "--out", tmp_path, "--for", "ollama")
    assert code == 0 and "two names" in err
    file = tmp_path / "nano-Q8_0.gguf"
    copy = tmp_path / "nano-Q8_0-ollama" / file.name
    assert copy.read_bytes() == file.read_bytes() and copy.stat().st_ino != file.stat().st_ino
    monkeypatch.setattr(files, "free_bytes", lambda path: 0 if path.name.startswith(".nano") else 2**40)
    code, _, err = edgetune("export", "nano", "--type", "Q8_0", "--out", tmp_path / "full", "--for", "ollama")
    assert code == 1 and "A copy of nano-Q8_0.gguf for Ollama" in err
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["nano-Q8_0.gguf"]
