"""llama.cpp splits text by the written vocabulary as the tokenizer itself does."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unicodedata import combining

import pytest

from converters.errors import ConversionError
from converters.gguf_file import Writer, text
from converters.pretokenizer import APPROXIMATED
from converters.sentencepiece_file import read_pieces
from converters.vocab import load_vocabulary, merge_order
from tests.converters.reference import WORDS, Tokenize, byte_level_tokenizer, gguf_tokenizer, qwen2_steps
from tests.fixtures.real import golden, tokenizer_folder

AWKWARD = [
    WORDS,
    "",
    " ",
    "  a",
    "\n\n\t x \r\n",
    "I'LL 'Ve 12345 3.14 ³½ ٣",
    "Ünïcödé 北京 🦙🏽 e\u0301 \u00ad",
    "<|im_end|> a<|im_start|>b",
    "</s> <s>x",
    "▁_▁ <0x41>",
]


@contextmanager
def llama_cpp_tokenizer(library: Any, folder: Path, path: Path, plain_bpe: bool = False) -> Iterator[Tokenize]:
    """llama.cpp's tokenizer of a folder's vocabulary: (text, whether special tokens count) to ids, nothing added."""
    metadata, _ = load_vocabulary(folder, {}, plain_bpe=plain_bpe)
    with open(path, "wb") as file:
        Writer(file, {"general.architecture": text("llama"), **metadata}, [])
    with gguf_tokenizer(library, path) as tokenize:
        yield tokenize


def check_all(library: Any, folder: Path, path: Path, strings: list[str], plain_bpe: bool = False) -> None:
    """The same ids as the tokenizers library gives, special tokens counted."""
    from tokenizers import Tokenizer

    reference = Tokenizer.from_file(str(folder / "tokenizer.json"))
    with llama_cpp_tokenizer(library, folder, path, plain_bpe) as tokenize:
        for string in strings:
            assert tokenize(string, True) == reference.encode(string, add_special_tokens=False).ids, repr(string)


@pytest.mark.parametrize("name", ["qwen2", "llama-bpe", "gpt-2", "llama2", "phi-3"])
def test_golden_strings(llama_cpp: Any, tmp_path: Path, name: str) -> None:
    source = tokenizer_folder(name)
    pairs = golden(source)
    assert len(pairs) == 46
    with llama_cpp_tokenizer(llama_cpp, source, tmp_path / "v.gguf") as tokenize:
        for string, ids in pairs:
            assert tokenize(string, False) == ids, repr(string)


@pytest.mark.parametrize("name", ["llama2", "phi-3", "stories"])
def test_scores_derived_from_merges(stories: Path, llama_cpp: Any, tmp_path: Path, name: str) -> None:
    """Without tokenizer.model the order of the merges gives the same splits."""
    folder = tmp_path / "t"
    folder.mkdir()
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy((stories if name == "stories" else tokenizer_folder(name)) / file, folder)
    strings = [string for string, _ in golden(tokenizer_folder("llama2"))]
    runs = ["x" + " " * count + "y" for count in range(1, 60)]
    check_all(llama_cpp, folder, tmp_path / "v.gguf", strings + AWKWARD + runs)


def test_stories_with_its_pieces(stories: Path, llama_cpp: Any, tmp_path: Path) -> None:
    assert len(read_pieces(stories / "tokenizer.model")) == 512
    check_all(llama_cpp, stories, tmp_path / "v.gguf", AWKWARD)


@pytest.mark.parametrize("pieces", [True, False])
def test_words_added_to_sentencepiece(stories: Path, llama_cpp: Any, tmp_path: Path, pieces: bool) -> None:
    """Words of a trade, made of known pieces: they are found before a text is split, so that no merge has to make them."""
    folder = shutil.copytree(stories, tmp_path / "t", copy_function=shutil.copyfile)
    if not pieces:
        (folder / "tokenizer.model").unlink()
    size = len(json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"])
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    words = ["thehe", "onceupon", "toother day", "[PAD]"]
    entries = [{"id": size + place, "content": word, "special": word == "[PAD]", **flags} for place, word in enumerate(words)]
    _edited(folder, lambda tokenizer: tokenizer["added_tokens"].extend(entries))
    texts = [form.replace("@", word) for word in words for form in ("@", "a @ b", "@@", "the@he", " @\n")]
    check_all(llama_cpp, folder, tmp_path / "v.gguf", [*texts, "the he the once upon", *AWKWARD])
    types = load_vocabulary(folder, {})[0]["tokenizer.ggml.token_type"].data
    assert types[size:].tolist() == [4, 4, 4, 3]


REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
NO_SPLIT = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
METASPACE = {"type": "Metaspace", "replacement": "▁", "split": False}


@pytest.mark.parametrize(
    ("change", "noted"),
    [
        ({"normalizer": None, "pre_tokenizer": METASPACE | {"prepend_scheme": "never"}}, False),
        ({"normalizer": None, "pre_tokenizer": METASPACE | {"prepend_scheme": "first"}}, True),
        ({"normalizer": None, "pre_tokenizer": METASPACE | {"prepend_scheme": "always"}}, True),
        ({"normalizer": REPLACE}, False),
        ({"normalizer": {"type": "Sequence", "normalizers": [REPLACE]}}, False),
        ({"normalizer": REPLACE, "pre_tokenizer": NO_SPLIT}, False),
    ],
)
def test_other_forms_of_the_space_prefix(stories: Path, llama_cpp: Any, tmp_path: Path, change: dict[str, Any], noted: bool) -> None:
    folder = shutil.copytree(stories, tmp_path / "t")
    _edited(folder, lambda tokenizer: tokenizer.update(change))
    assert bool(load_vocabulary(folder, {})[1]) is noted
    strings = [string for string in AWKWARD if "<s>" not in string and "▁" not in string and not (noted and string.startswith(" "))]
    check_all(llama_cpp, folder, tmp_path / "v.gguf", strings)
    if not noted:
        check_all(llama_cpp, folder, tmp_path / "v.gguf", strings, plain_bpe=True)


def test_merges_that_no_scores_can_express_are_written_plain(stories: Path, llama_cpp: Any, tmp_path: Path) -> None:
    """As Gemma 4's: the last merge of a token moved to the end of the list."""
    folder = shutil.copytree(stories, tmp_path / "t")
    (folder / "tokenizer.model").unlink()

    def change(tokenizer: dict[str, Any]) -> None:
        tokenizer.update(normalizer=REPLACE, pre_tokenizer=NO_SPLIT)
        merges = tokenizer["model"]["merges"]
        merges.append(merges.pop(0))

    _edited(folder, change)
    check_all(llama_cpp, folder, tmp_path / "v.gguf", [one for one in AWKWARD if "<s>" not in one and "▁" not in one], plain_bpe=True)
    keys = load_vocabulary(folder, {}, plain_bpe=True)[0]
    assert keys["tokenizer.ggml.model"].data == "gemma4" and set(keys["tokenizer.ggml.scores"].data) == {-1000.0}


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": {"type": "NFKC"}},
        {"normalizer": None},
        {"pre_tokenizer": METASPACE | {"split": True}},
        {"normalizer": None, "pre_tokenizer": METASPACE | {"prepend_scheme": "sometimes"}},
    ],
)
def test_unknown_forms_of_the_space_prefix_are_refused(stories: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    folder = shutil.copytree(stories, tmp_path / "t")
    _edited(folder, lambda tokenizer: tokenizer.update(change))
    with pytest.raises(ConversionError, match="not recognized"):
        load_vocabulary(folder, {})


def _steps(name: str, behavior: str) -> list[Any]:
    from tokenizers import Regex, pre_tokenizers

    from converters.pretokenizer import SPLIT_PATTERNS

    if name == "gpt-2":
        return [pre_tokenizers.ByteLevel(add_prefix_space=False)]
    if name == "smollm":
        return [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    expression = next(expression for (expression, _), known in SPLIT_PATTERNS.items() if known == name)
    split = pre_tokenizers.Split(Regex(expression), behavior, invert=behavior == "removed")
    return [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


@pytest.mark.parametrize("behavior", ["isolated", "removed"])
@pytest.mark.parametrize("name", ["qwen2", "qwen35", "gpt-2", "smollm", "smaug-bpe", "gpt-4o", "tekken"])
def test_byte_level_tokenizers_made_here(llama_cpp: Any, tmp_path: Path, name: str, behavior: str) -> None:
    """ "Removed" and inverted is the other way to say that the matches are the words."""
    byte_level_tokenizer(tmp_path, 360, _steps(name, behavior))
    _edited(tmp_path, lambda tokenizer: tokenizer["model"].update(ignore_merges=name == "tekken"))
    metadata, notes = load_vocabulary(tmp_path, {})
    assert metadata["tokenizer.ggml.pre"].data == name and bool(notes) is (name in APPROXIMATED)
    strings = [*AWKWARD, "CamelCase HTTPServer's path/to\n/x don't I'M नमस्ते"]
    check_all(llama_cpp, tmp_path, tmp_path / "v.gguf", [one for one in strings if not notes or all(not combining(char) for char in one)])


def test_special_tokens_beyond_the_model_are_left_out(tmp_path: Path) -> None:
    """Gemma 3's text models have no room for the image token; a word beyond the end is another model's tokenizer."""
    byte_level_tokenizer(tmp_path, 300, qwen2_steps())
    image = {"id": 300, "content": "<image>", "special": True, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}
    _edited(tmp_path, lambda tokenizer: tokenizer["added_tokens"].append(image))
    metadata, notes = load_vocabulary(tmp_path, {"vocab_size": 300})
    assert "<image>" not in metadata["tokenizer.ggml.tokens"].data and "<image>" in notes[0]
    assert load_vocabulary(tmp_path, {"vocab_size": 301})[0]["tokenizer.ggml.tokens"].data[300] == "<image>"
    _edited(tmp_path, lambda tokenizer: tokenizer["added_tokens"][-1].update(special=False))
    with pytest.raises(ConversionError, match="tokenizer"):
        load_vocabulary(tmp_path, {"vocab_size": 300})


def test_phi3s_end_token_is_one_like_others() -> None:
    types = load_vocabulary(tokenizer_folder("phi-3"), {}, added_first=True)[0]["tokenizer.ggml.token_type"].data
    assert types[[0, 1, 2, 3, 32000]].tolist() == [3, 3, 4, 6, 3]


def test_nfc_is_accepted_and_noted(llama_cpp: Any, tmp_path: Path) -> None:
    from tokenizers import normalizers

    byte_level_tokenizer(tmp_path, 320, qwen2_steps(), normalizer=normalizers.NFC())
    assert "NFC" in load_vocabulary(tmp_path, {})[1][0]
    check_all(llama_cpp, tmp_path, tmp_path / "v.gguf", [string for string in AWKWARD if "\u0301" not in string])


def test_special_tokens_padding_and_stops(tmp_path: Path) -> None:
    byte_level_tokenizer(tmp_path, 300, qwen2_steps())
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0, 7]}))
    metadata = {
        key.removeprefix("tokenizer.ggml."): value.data
        for key, value in load_vocabulary(tmp_path, {"vocab_size": 304, "bos_token_id": 1, "eos_token_id": 0}, "{{ messages }}")[0].items()
    }
    assert (metadata["bos_token_id"], metadata["eos_token_id"], metadata["padding_token_id"]) == (1, 2, 0)
    assert metadata["eot_token_id"] == 7, "a stop token that llama.cpp does not know by its text"
    assert "add_bos_token" not in metadata and "add_eos_token" not in metadata, "no file speaks of them, and llama.cpp adds none"
    assert metadata["tokens"][300:] == ["[PAD300]", "[PAD301]", "[PAD302]", "[PAD303]"]
    assert metadata["token_type"].tolist() == [3] * 3 + [1] * 297 + [5] * 4
    assert metadata["tokenizer.chat_template"] == "{{ messages }}"


def test_bos_comes_from_the_post_processor(tmp_path: Path) -> None:
    from tokenizers import processors

    byte_level_tokenizer(
        tmp_path,
        300,
        qwen2_steps(),
        post_processor=processors.TemplateProcessing(
            single="<|im_start|> $A <|im_end|>", special_tokens=[("<|im_start|>", 1), ("<|im_end|>", 2)]
        ),
    )
    metadata, _ = load_vocabulary(tmp_path, {})
    assert metadata["tokenizer.ggml.add_bos_token"].data is True and metadata["tokenizer.ggml.bos_token_id"].data == 1
    assert metadata["tokenizer.ggml.add_eos_token"].data is True and metadata["tokenizer.ggml.eos_token_id"].data == 2


def _edited(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    change(tokenizer)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex=r"\w+|\W+"),
        lambda t: t["pre_tokenizer"]["pretokenizers"][0].update(behavior="Removed"),
        lambda t: t["pre_tokenizer"]["pretokenizers"][1].update(add_prefix_space=True),
        lambda t: t["pre_tokenizer"]["pretokenizers"].pop(0),
        lambda t: t.update(pre_tokenizer=None),
        lambda t: t.update(normalizer={"type": "Lowercase"}),
        lambda t: t["model"].update(ignore_merges=True),
        lambda t: t["model"].update(type="Unigram"),
        lambda t: t["model"].update(end_of_word_suffix="</w>"),
        lambda t: t["model"]["merges"].append(["zz", "qq"]),
        lambda t: t["model"]["merges"].append(3),
        lambda t: t["model"].update(vocab=[1, 2]),
        lambda t: t["added_tokens"].append({"content": "a", "id": 3}),
        lambda t: t["added_tokens"].append({"content": "new", "id": 10**9}),
        lambda t: t["added_tokens"].append({"content": "new", "id": -1}),
        lambda t: t.update(post_processor={"type": "BertProcessing"}),
        lambda t: t.update(post_processor=[1]),
        lambda t: t.update(model=None),
    ],
)
def test_what_llama_cpp_would_split_otherwise_is_refused(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    byte_level_tokenizer(tmp_path, 300, qwen2_steps())
    load_vocabulary(tmp_path, {})
    _edited(tmp_path, change)
    with pytest.raises(ConversionError):
        load_vocabulary(tmp_path, {})


def test_merges_that_no_scores_can_express_are_refused() -> None:
    ids = {token: number for number, token in enumerate(["a", "b", "c", "ab", "bc", "abc"])}
    assert merge_order([("a", "b"), ("b", "c"), ("ab", "c"), ("a", "bc")], ids) == [["ab"], ["bc"], ["abc"]]
    with pytest.raises(ConversionError, match="tokenizer") as apart:
        merge_order([("a", "b"), ("ab", "c"), ("b", "c"), ("a", "bc")], ids)
    assert "do not follow each other" in apart.value.cause
    with pytest.raises(ConversionError) as missing:
        merge_order([("a", "b"), ("b", "c"), ("ab", "c")], ids)
    assert "'a' + 'bc'" in missing.value.cause


def test_sentencepiece_files_that_contradict_tokenizer_json_are_refused(stories: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(stories, tmp_path / "t")
    raw = (folder / "tokenizer.model").read_bytes()
    (folder / "tokenizer.model").write_bytes(raw.replace("▁the".encode(), "▁teh".encode()))
    with pytest.raises(ConversionError, match="tokenizer"):
        load_vocabulary(folder, {})
    for cut in range(0, len(raw), 797):
        (folder / "tokenizer.model").write_bytes(raw[:cut])
        try:
            load_vocabulary(folder, {})
        except ConversionError:
            continue
        assert cut == 0 or read_pieces(folder / "tokenizer.model"), "a cut between two pieces leaves a readable file"
