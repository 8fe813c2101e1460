"""Whatever people call a model, llama.cpp splits its text as transformers does, white space around special tokens included."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from converters import added_tokens, restore
from converters.gguf_file import Writer, read_header, text
from converters.vocab import load_vocabulary
from tests.converters.reference import byte_level_tokenizer, gguf_tokenizer, qwen2_steps
from tests.fixtures.real import tokenizer_folder

NAMES = (
    *("phi3", "my phi-3 notes", "PHI3.5", "Phi-3-mini-4k-instruct-lamps", "mistral", "llama-3", "gemma", "qwen modern-bert"),
    *("run 12", "Übung π", "modern-bert", "notes"),
)
KEEPS = ("<unk>", "<s>", "<|endoftext|>")


def edit_tokens(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Path:
    """Change every added token of a folder's tokenizer."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    tokenizer["added_tokens"] = [entry | change(entry) for entry in tokenizer["added_tokens"]]
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")
    return folder


def family(name: str, folder: Path) -> Path:
    """A tokenizer of a family: a real one, Phi-3's with the flags of its own files, or one whose mask swallows white space."""
    if name == "mask":
        folder.mkdir()
        byte_level_tokenizer(folder, 320, qwen2_steps())
        path = folder / "tokenizer.json"
        path.write_text(path.read_text(encoding="utf-8").replace("<|im_start|>", MASK), encoding="utf-8")
        return edit_tokens(folder, lambda entry: {"lstrip": entry["content"] == MASK})
    shutil.copytree(tokenizer_folder(name), folder)
    if name in ("qwen2", "llama-bpe", "gpt-2"):
        cut(folder, 4000)
    return edit_tokens(folder, lambda entry: {"rstrip": name == "phi-3" and entry["content"] not in KEEPS})


def cut(folder: Path, size: int) -> None:
    """Leave so many tokens of a byte-level tokenizer besides the added ones: llama.cpp then loads it in a moment."""
    path = folder / "tokenizer.json"
    tokenizer = json.loads(path.read_text(encoding="utf-8"))
    model = tokenizer["model"]
    model["vocab"] = {token: number for token, number in model["vocab"].items() if number < size}
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]]
    model["merges"] = [pair for pair in pairs if all(token in model["vocab"] for token in (*pair, "".join(pair)))]
    tokenizer["added_tokens"] = [entry | {"id": size + place} for place, entry in enumerate(tokenizer["added_tokens"])]
    tokenizer["post_processor"] = None
    path.write_text(json.dumps(tokenizer, ensure_ascii=False), encoding="utf-8")


MASK = added_tokens.MASK
SAME = str.maketrans("", "", " -")


def strings(folder: Path) -> list[str]:
    """Texts with white space on both sides of special tokens."""
    added = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    tokens = [entry["content"] for entry in added][-12:]
    texts = [
        "",
        " a",
        "phi-3 and modern-bert",
        *(form.replace("@", token) for token in tokens for form in ("@ a", "b @\n\n a", "@  @\t", "c\n@")),
    ]
    return [*texts, " \n".join(tokens), "".join(tokens)]


@pytest.mark.parametrize("name", ["qwen2", "llama-bpe", "gpt-2", "llama2", "phi-3", "mask"])
def test_every_name_keeps_the_ids(llama_cpp: Any, tmp_path: Path, name: str) -> None:
    from transformers import PreTrainedTokenizerFast

    folder = family(name, tmp_path / "t")
    options: dict[str, Any] = {"added_first": True} if name == "phi-3" else {}
    reference = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    texts = strings(folder)
    expected = [reference.encode(string, add_special_tokens=False) for string in texts]
    added = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]

    vocabulary, notes = load_vocabulary(folder, {}, name=NAMES[0], **options)
    assert not notes
    for people_call_it in NAMES:
        chosen = added_tokens.choose_name(people_call_it, added, reference.get_vocab())
        if people_call_it == NAMES[0]:
            assert vocabulary["general.name"].data == chosen
        metadata = {"general.architecture": text("llama")} | vocabulary | {"general.name": text(chosen)}
        with open(tmp_path / "v.gguf", "wb") as file:
            Writer(file, metadata, [])
        with gguf_tokenizer(llama_cpp, tmp_path / "v.gguf") as tokenize:
            assert [tokenize(string, True) for string in texts] == expected, (people_call_it, chosen)
        assert people_call_it.translate(SAME) in chosen.translate(SAME), "a name people know again"

    # The way back gives the flags, wherever the name came from.
    files = restore.load_tokenizer(read_header(tmp_path / "v.gguf"))
    flags = {entry["content"]: (entry["lstrip"], entry["rstrip"]) for entry in files.tokenizer["added_tokens"]}
    assert {entry["content"]: (entry["lstrip"], entry["rstrip"]) for entry in added}.items() <= flags.items()


def test_a_name_that_llama_cpp_refuses_is_not_chosen() -> None:
    """Tokens swallow white space as Phi-3's do, but without its end of text llama.cpp loads no file called so."""
    added = [{"content": "<|end|>", "rstrip": True}, {"content": "<s>", "rstrip": False}]
    known = {"<unk>", "<s>", "</s>", "<|end|>"}
    assert added_tokens.choose_name("phi3", added, known) == "phi 3"
    assert added_tokens.choose_name("notes", added, known | {"<|endoftext|>"}) == "Phi-3 notes"


def test_what_no_name_gives_is_noted_and_trained_as_exported(llama_cpp: Any, tmp_path: Path) -> None:
    """Phi-4's marks swallow white space on both sides: training reads them as llama.cpp will."""
    from tokenizers import Tokenizer

    byte_level_tokenizer(tmp_path, 320, qwen2_steps())
    edit_tokens(tmp_path, lambda entry: {"lstrip": True, "rstrip": True, "single_word": entry["content"] == "<|im_end|>"})
    metadata, notes = load_vocabulary(tmp_path, {}, name="phi-4")
    assert len(notes) == 2 and "'<|im_start|>'" in notes[0] and "'<|im_end|>'" in notes[1]
    with open(tmp_path / "v.gguf", "wb") as file:
        Writer(file, {"general.architecture": text("llama"), **metadata}, [])

    document = json.loads((tmp_path / "tokenizer.json").read_text(encoding="utf-8"))
    rewritten = added_tokens.as_exported(document)
    assert rewritten is not None and added_tokens.as_exported(rewritten) is None
    texts = [*strings(tmp_path), "word<|im_end|>word"]
    as_trained, as_it_was = Tokenizer.from_str(json.dumps(rewritten)), Tokenizer.from_str(json.dumps(document))
    with gguf_tokenizer(llama_cpp, tmp_path / "v.gguf") as tokenize:
        assert [tokenize(string, True) for string in texts] == [as_trained.encode(string).ids for string in texts]
    assert any(as_trained.encode(string).ids != as_it_was.encode(string).ids for string in texts)


@pytest.mark.parametrize("opens", [True, False])
@pytest.mark.parametrize("scheme", ["always", "first"])
def test_training_puts_spaces_where_llama_cpp_does(llama_cpp: Any, stories: Path, tmp_path: Path, scheme: str, opens: bool) -> None:
    """Metaspace knows where a text begins; llama.cpp knows stretches between special tokens. In a chat both give transformers' ids."""
    from tokenizers import Tokenizer

    folder = shutil.copytree(stories, tmp_path / "t", copy_function=shutil.copyfile)
    path = folder / "tokenizer.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": False}
    document |= {"normalizer": None, "pre_tokenizer": metaspace}
    word = {"id": len(document["model"]["vocab"]), "content": "thehe", "special": False, "normalized": True}
    document["added_tokens"].append({"single_word": False, "lstrip": False, "rstrip": False} | word)
    path.write_text(json.dumps(document), encoding="utf-8")

    metadata, notes = load_vocabulary(folder, {}, opens=opens)
    assert len(notes) == 1 and "so do training and chat" in notes[0]
    with open(tmp_path / "v.gguf", "wb") as file:
        Writer(file, {"general.architecture": text("llama"), **metadata}, [])
    rewritten = added_tokens.as_exported(document, opens)
    assert rewritten is not None
    as_trained, as_it_was = Tokenizer.from_str(json.dumps(rewritten)), Tokenizer.from_file(str(path))
    chat = "<s>Once upon a time</s>\n<s>the dog</s>"
    with gguf_tokenizer(llama_cpp, tmp_path / "v.gguf") as tokenize:
        for string in (chat, "Once upon", " two", "</s> a", "a thehe b", "thehe", "\n x", "a</s>b"):
            assert tokenize(string, True) == as_trained.encode(string, add_special_tokens=False).ids, string
        plain = "Once upon a time" if scheme == "first" and not opens else chat
        assert tokenize(plain, True) == as_it_was.encode(plain, add_special_tokens=False).ids
