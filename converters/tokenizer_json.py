"""Inverse of vocab.py: convert a GGUF's vocabulary to the files of a Hugging Face tokenizer that gives llama.cpp's ids.

llama.cpp normalizes nothing, so this tokenizer does not either, even where the original had an NFC normalizer.
"""

import re
from typing import Any, NamedTuple

import numpy as np

from converters.added_tokens import NO_SPLIT, REPLACE, SPACE, given
from converters.errors import ConversionError
from converters.gguf_file import Header
from converters.pretokenizer import SPLIT_PATTERNS
from converters.sentencepiece_file import Piece, write_pieces
from converters.special_tokens import SPECIAL_TOKENS, STOP_TOKENS
from converters.vocab import ADDS_BOS, BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from converters.weights import JsonObject

TOKENIZER_MODELS = {"gpt2": "byte-level BPE", "llama": "SentencePiece", "gemma4": "BPE over characters"}
"""llama.cpp's tokenizers that can be converted back."""
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
MAX_TOKEN, MAX_TEXT = 1024, 2**25
"""Characters of a SentencePiece token, and of all; real vocabularies have a tenth of either."""


class TokenizerFiles(NamedTuple):
    """A tokenizer as files.

    tokenizer, settings: tokenizer.json and tokenizer_config.json. pieces: tokenizer.model, for SentencePiece. ids: the special ids as
    config.json has them. stops: every id at which an answer ends.
    """

    tokenizer: JsonObject
    settings: JsonObject
    pieces: bytes | None
    ids: dict[str, int | None]
    stops: list[int]


class _Vocabulary:
    """The arrays of a file, checked against each other."""

    def __init__(self, header: Header) -> None:
        self.metadata = header.metadata
        self.name = header.path.name
        self.tokens = self.get("tokens")
        self.types = self.get("token_type")
        if not _texts(self.tokens) or not self.tokens:
            raise self.invalid("It has no list of tokens.")
        if self.types is None:
            self.types = np.ones(len(self.tokens), np.int32)
        if not isinstance(self.types, np.ndarray) or len(self.types) != len(self.tokens) or self.types.dtype.kind not in "iu":
            raise self.invalid("Its list of token types does not match its list of tokens.")
        if not ((self.types >= NORMAL) & (self.types <= BYTE)).all():
            raise self.invalid(f"A token type is not from {NORMAL} to {BYTE}.")
        if len(set(self.tokens)) != len(self.tokens):
            raise self.invalid("Two tokens have the same text.")
        self.of_type = {kind: np.flatnonzero(self.types == kind).tolist() for kind in (UNKNOWN, CONTROL, USER_DEFINED)}

        # Rows that only fill the matrix have no token in the original file either.
        padding = {number for number in np.flatnonzero(self.types == UNUSED).tolist() if self.tokens[number] == f"[PAD{number}]"}
        self.ids = {token: number for number, token in enumerate(self.tokens) if number not in padding}

    def get(self, key: str) -> Any:
        return self.metadata.get(f"tokenizer.ggml.{key}")

    def text(self, key: str) -> str | None:
        value = self.get(key)
        return value if isinstance(value, str) else None

    def flag(self, key: str, default: bool) -> bool:
        value = self.get(key)
        return value if isinstance(value, bool) else default

    def invalid(self, cause: str) -> ConversionError:
        return ConversionError(f"The vocabulary of {self.name} is not valid", cause, "Download the file again, or create it again.")

    def special(self) -> dict[str, int]:
        """Ids of special tokens by Hugging Face's names, and llama.cpp's further two."""
        special = {}
        for name, key in (*SPECIAL_TOKENS.items(), ("eot", "eot"), ("eom", "eom")):
            number = self.get(f"{key}_token_id")
            if type(number) is int and number < len(self.tokens):
                special[name] = number
            elif number is not None:
                raise self.invalid(f"{key}_token_id is {number!r}; it has {len(self.tokens)} tokens.")
        return special


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)


def load_tokenizer(header: Header) -> TokenizerFiles:
    """The tokenizer in a file. Raises ConversionError, naming it, for a kind or pre-tokenizer that cannot be converted back."""
    vocabulary = _Vocabulary(header)
    kind = vocabulary.text("model")
    if kind not in TOKENIZER_MODELS:
        raise ConversionError(
            f"The tokenizer {str(kind)[:40]!r} cannot be converted back",
            f"Supported: {', '.join(f'{name} ({description})' for name, description in TOKENIZER_MODELS.items())}.",
            "Use another GGUF file, or the original model folder.",
        )

    pieces = None
    if kind == "gpt2":
        parts = _byte_level(vocabulary)
    else:
        sentencepiece = kind == "llama"
        parts = _characters(vocabulary, _merges_by_score(vocabulary) if sentencepiece else _listed_merges(vocabulary), sentencepiece)
        pieces = _pieces(vocabulary) if sentencepiece else None

    special = vocabulary.special()
    starts = kind == "llama" or vocabulary.text("pre") in ADDS_BOS
    first = special.get("bos") if vocabulary.flag("add_bos_token", starts) else None
    last = special.get("eos") if vocabulary.flag("add_eos_token", False) else None

    tokenizer = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": _added(vocabulary), **parts}
    tokenizer["post_processor"] = _processor(vocabulary, first, last, special)

    settings: JsonObject = {f"{name}_token": vocabulary.tokens[number] for name, number in special.items() if name in SPECIAL_TOKENS}
    settings |= {key: vocabulary.flag(key, False) for key in ("add_bos_token", "add_eos_token") if isinstance(vocabulary.get(key), bool)}
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}

    template = header.metadata.get("tokenizer.chat_template")
    if isinstance(template, str):
        settings["chat_template"] = template

    stops = [special[name] for name in ("eos", "eot", "eom") if name in special]
    stops += [number for number in vocabulary.of_type[CONTROL] if vocabulary.tokens[number] in STOP_TOKENS]
    ids = {f"{name}_token_id": special.get(name) for name in ("bos", "eos", "pad")}
    return TokenizerFiles(tokenizer, settings, pieces, ids, list(dict.fromkeys(stops)))


def _added(vocabulary: _Vocabulary) -> list[JsonObject]:
    """The tokens that are matched before a text is split: control, user-defined and unknown ones."""
    numbers = sorted(vocabulary.of_type[CONTROL] + vocabulary.of_type[USER_DEFINED] + vocabulary.of_type[UNKNOWN])
    name = vocabulary.metadata.get("general.name")
    entries = []
    for number in numbers:
        content = vocabulary.tokens[number]
        strips = given(name if isinstance(name, str) else "", content)
        options = {"single_word": False, "lstrip": strips.left, "rstrip": strips.right, "normalized": False}
        entries.append({"id": number, "content": content, **options, "special": int(vocabulary.types[number]) != USER_DEFINED})
    return entries


def _listed_merges(vocabulary: _Vocabulary) -> list[list[str]]:
    """The merges that the file lists."""
    merges = vocabulary.get("merges")
    if not _texts(merges):
        raise vocabulary.invalid("It has no list of merges.")
    pairs = [list(merge.partition(" ")[::2]) for merge in merges]
    ids = vocabulary.ids
    bad = next((pair for pair in pairs if "".join(pair) not in ids or any(part not in ids for part in pair)), None)
    if bad:
        raise vocabulary.invalid(f"The merge {' '.join(bad)[:100]!r} does not join two tokens to a third.")
    return pairs


def _merges_by_score(vocabulary: _Vocabulary) -> list[list[str]]:
    """Every pair of tokens that together are one, the best score first, as llama.cpp joins them (src/llama-vocab.cpp, `llm_tokenizer_spm`).

    Pairs of one token come in the order of their parts' ids, as in the tokenizer.json files that transformers made from SentencePiece's.
    """
    scores = vocabulary.get("scores")
    ids = vocabulary.ids
    if not isinstance(scores, np.ndarray) or len(scores) != len(vocabulary.tokens) or not np.isfinite(scores).all():
        raise vocabulary.invalid("Its list of scores does not match its list of tokens, or holds NaN or infinity.")

    # Every way to cut every token in two is tried, so a file with enormous tokens would never end.
    if max(map(len, ids)) > MAX_TOKEN or sum(map(len, ids)) > MAX_TEXT:
        raise vocabulary.invalid(
            f"Its tokens have up to {max(map(len, ids))} characters, {sum(map(len, ids))} in total: more than any real vocabulary."
        )

    ordinary = {number for number in ids.values() if int(vocabulary.types[number]) not in (UNKNOWN, CONTROL)}
    merges = []
    for token, number in ids.items():
        if number not in ordinary or re.fullmatch("<.*>", token):
            continue
        pairs = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [(ids[left], ids[right], left, right) for left, right in pairs if left in ids and right in ids]
        merges += [(-float(scores[number]), number, *pair) for pair in sorted(known)]
    return [[left, right] for *_, left, right in sorted(merges)]


def _byte_level(vocabulary: _Vocabulary) -> JsonObject:
    name = vocabulary.text("pre")
    splits = {known: key for key, known in SPLIT_PATTERNS.items()}
    ignore_merges = False
    pre = [BYTE_LEVEL | {"use_regex": True}]

    if name == "smollm":
        pre = [{"type": "Digits", "individual_digits": True}, *pre]
    elif name in splits:
        expression, ignore_merges = splits[name]
        pre = [{"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}, BYTE_LEVEL]
    elif name != "gpt-2":
        named = "without a name" if name is None else repr(name[:40])
        raise ConversionError(
            f"The pre-tokenizer {named} cannot be converted back",
            f"Supported: {', '.join(sorted({'gpt-2', 'smollm', *splits}))}; others would split text differently.",
            "Use another GGUF file, or the original model folder.",
        )

    return {
        "normalizer": None,
        "pre_tokenizer": pre[0] if len(pre) == 1 else {"type": "Sequence", "pretokenizers": pre},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": _model(vocabulary, _listed_merges(vocabulary), None, False, ignore_merges=ignore_merges),
    }


def _characters(vocabulary: _Vocabulary, merges: list[list[str]], sentencepiece: bool) -> JsonObject:
    unknown = next((vocabulary.tokens[number] for number in vocabulary.of_type[UNKNOWN]), None)
    decoders: list[JsonObject] = [REPLACE | {"pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
    normalizer: JsonObject = REPLACE
    if vocabulary.flag("add_space_prefix", sentencepiece):
        normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, REPLACE]}
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "normalizer": normalizer,
        "pre_tokenizer": None if sentencepiece else NO_SPLIT,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": _model(vocabulary, merges, unknown, True),
    }


def _model(
    vocabulary: _Vocabulary, merges: list[list[str]], unknown: str | None, byte_fallback: bool, ignore_merges: bool = False
) -> JsonObject:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": byte_fallback,
        "byte_fallback": byte_fallback,
        "ignore_merges": ignore_merges,
        "vocab": vocabulary.ids,
        "merges": merges,
    }


def _processor(vocabulary: _Vocabulary, first: int | None, last: int | None, special: dict[str, int]) -> JsonObject | None:
    """The post-processor that adds BOS and EOS to a text, and a separator between two texts; None without any."""
    separates = vocabulary.flag("add_sep_token", False) if isinstance(vocabulary.get("add_sep_token"), bool) else None  # None: unset
    if first is None and last is None and separates is None:
        return None

    # A file that sets the flag to false has a template of two texts without a separator: there the second starts like the first.
    between = None
    if separates is not None:
        between = special.get("sep", special.get("eos")) if separates else first
    used = {number: vocabulary.tokens[number] for number in (first, last, between) if number is not None}

    def token(number: int | None, part: int = 0) -> list[JsonObject]:
        return [] if number is None else [{"SpecialToken": {"id": vocabulary.tokens[number], "type_id": part}}]

    def text(name: str, part: int) -> JsonObject:
        return {"Sequence": {"id": name, "type_id": part}}

    end = token(last) if separates is not None else []
    return {
        "type": "TemplateProcessing",
        "single": [*token(first), text("A", 0), *token(last)],
        "pair": [*token(first), text("A", 0), *end, *token(between, 1), text("B", 1), *token(last, 1)],
        "special_tokens": {name: {"id": name, "ids": [number], "tokens": [name]} for number, name in used.items()},
    }


def _pieces(vocabulary: _Vocabulary) -> bytes:
    rows = zip(vocabulary.tokens, vocabulary.get("scores"), vocabulary.types, strict=True)
    pieces = [Piece(token, float(score), int(kind)) for token, score, kind in rows]
    return write_pieces(pieces, vocabulary.flag("add_space_prefix", True))
