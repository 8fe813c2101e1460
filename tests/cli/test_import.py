"""`edgetune import`: a GGUF as a model folder, and nothing half-written."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def gguf(edgetune: Call, tmp_path: Path) -> Path:
    """The bundled model at Q8_0."""
    assert edgetune("export", "nano", "--type", "Q8_0", "--out", tmp_path / "nano.gguf")[0] == 0
    return tmp_path / "nano.gguf"


def test_what_is_imported_exports_to_the_same_weights(edgetune: Call, gguf: Path, tmp_path: Path) -> None:
    from converters.gguf_file import read_header

    code, out, err = edgetune("import", gguf, "--out", tmp_path / "folder", "--dtype", "float32", "--json")
    made = json.loads(out)
    assert code == 0 and "Traceback" not in err
    assert (made["path"], made["model_type"], made["dtype"]) == (str(tmp_path / "folder"), "llama", "float32")
    assert "Q8_0" in made["notes"][0] and made["files"] == sorted(path.name for path in (tmp_path / "folder").iterdir())
    assert edgetune("export", tmp_path / "folder", "--type", "F32", "--out", tmp_path / "again.gguf")[0] == 0
    assert edgetune("export", "nano", "--type", "F32", "--out", tmp_path / "first.gguf")[0] == 0
    again, first = read_header(tmp_path / "again.gguf"), read_header(tmp_path / "first.gguf")
    assert again.tensors == first.tensors
    ours, theirs = again.metadata, first.metadata
    differing = {key for key in ours.keys() | theirs.keys() if str(ours.get(key)) != str(theirs.get(key))}
    assert differing <= {"general.name", "general.basename", "edgetune.base"}


def test_the_folder_is_a_base(edgetune: Call, gguf: Path, tmp_path: Path, facts: Path) -> None:
    assert edgetune("import", gguf, "--out", tmp_path / "base")[0] == 0
    code, out, _ = edgetune("data", "check", "--base", tmp_path / "base", facts, "--json")
    assert code in (0, 1) and json.loads(out)["read"] == 36


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["nowhere.gguf"], "no file"),
        (["text.gguf"], "not a GGUF file"),
        (["nano.gguf", "--dtype", "int8"], "float32"),
        (["nano.gguf", "--out", "there"], "there already"),
    ],
)
def test_wrong_words_are_refused(
    edgetune: Call, gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], why: str
) -> None:
    (tmp_path / "text.gguf").write_text("This is no model, whatever its name says.")
    (tmp_path / "there").mkdir()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    code, out, err = edgetune("import", *words)
    assert (code, out) == (2, "") and why in err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.9, 0.9999])
def test_a_truncated_file_leaves_nothing(edgetune: Call, gguf: Path, tmp_path: Path, share: float) -> None:
    raw = gguf.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(raw[: int(len(raw) * share)])
    code, out, err = edgetune("import", tmp_path / "cut.gguf", "--out", tmp_path / "out")
    assert (code, out) == (2, "") and "cut.gguf" in err and "Traceback" not in err
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob("*.part")) and not list(tmp_path.glob(".*.part"))


def test_weights_that_are_no_numbers_leave_nothing(edgetune: Call, gguf: Path, tmp_path: Path) -> None:
    """Found only while they are written."""
    from converters.gguf_file import read_header

    header, raw = read_header(gguf), bytearray(gguf.read_bytes())
    place = header.data_start + header.tensors["blk.3.ffn_up.weight"].offset
    raw[place : place + 2] = b"\xff\xff"
    gguf.write_bytes(raw)
    code, out, err = edgetune("import", gguf, "--out", tmp_path / "out")
    assert (code, out) == (1, "") and "model.layers.3.mlp.up_proj.weight" in err
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*.part"))


STOP = """
import signal, sys
from edgetune.gguf import import_file
need = import_file.create_file
def then_stop(path):
    signal.raise_signal(signal.SIGINT)
    return need(path)
import_file.create_file = then_stop
from edgetune.__main__ import main
main()
"""
"""The command, interrupted while its folder is half full."""


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_ctrl_c_leaves_nothing_and_is_said(gguf: Path, tmp_path: Path, flags: list[str]) -> None:
    words = [sys.executable, "-c", STOP, "import", str(gguf), "--out", str(tmp_path / "out"), *flags]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT, timeout=60)
    assert done.returncode == 130 and "Traceback" not in done.stderr
    said = json.loads(done.stdout)["error"]["title"] if flags else done.stderr.strip()
    assert said.splitlines()[-1].lower() == "interrupted"
    assert [path.name for path in tmp_path.iterdir()] == ["nano.gguf"]


@pytest.mark.slow
def test_a_real_chat_model_answers_as_transformers_does(edgetune: Call, smollm2: Path, tmp_path: Path) -> None:
    """SmolLM2 imported from a Q4_1 GGUF, exported at F32, and asked in a chat: the same tokens as transformers' on the imported folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from edgetune.chat.conversation import Conversation
    from edgetune.chat.engine import Engine
    from edgetune.chat.sampling import Sampling

    folder, file = tmp_path / "smollm2", tmp_path / "smollm2.gguf"
    assert edgetune("import", smollm2, "--out", folder, "--dtype", "float32")[0] == 0
    assert edgetune("export", folder, "--type", "F32", "--out", file)[0] == 0
    with Engine(file, kv="f32") as engine:
        answer = Conversation(engine).ask("What is the capital of France?", sampling=Sampling(temperature=0), max_tokens=24)
        text = "".join(answer)

    # The prompt is transformers' own rendering too, so a template or tokenizer that came over wrongly shows.
    tokenizer = AutoTokenizer.from_pretrained(folder)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = tokenizer.apply_chat_template(question, tokenize=False, add_generation_prompt=True)
    assert answer.rendered == prompt
    ids = tokenizer.encode(prompt, add_special_tokens=False)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    theirs = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=24)[0, len(ids) :].tolist()
    assert tokenizer.decode(theirs, skip_special_tokens=True).strip() == text.strip()
    assert "Paris" in text
