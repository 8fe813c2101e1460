"""The way back of vocab.py: from a GGUF's vocabulary to the files of a Hugging Face tokenizer that gives the ids llama.cpp gives.

llama.cpp normalizes nothing, so the tokenizer made here does not either, where the first one may have had an NFC normalizer.
"""

import re
from typing import Any, NamedTuple

import numpy as np

from converters.errors import ConversionError
from converters.gguf_file import Header
from converters.pretokenizer import SPLIT_PATTERNS
from converters.sentencepiece_file import Piece, write_pieces
from converters.special_tokens import SPECIAL_TOKENS, STOP_TOKENS
from converters.vocab import ADDS_BOS, BYTE, CONTROL, NO_SPLIT, NORMAL, SPACE, UNKNOWN, UNUSED, USER_DEFINED
from converters.weights import JsonObject

TOKENIZER_MODELS = {"gpt2": "byte-level BPE", "llama": "SentencePiece", "gemma4": "BPE over characters"}
"""llama.cpp's tokenizers that can be read back."""
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
MAX_TOKEN, MAX_TEXT = 1024, 2**25
"""Characters of a SentencePiece token, and of all; real vocabularies have a tenth of either."""
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}


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
        self.metadata, self.name = header.metadata, header.path.name
        self.tokens, self.types = self.get("tokens"), self.get("token_type")
        if not _texts(self.tokens) or not self.tokens:
            raise self.unsound("It has no list of tokens.")
        if self.types is None:
            self.types = np.ones(len(self.tokens), np.int32)
        if not isinstance(self.types, np.ndarray) or len(self.types) != len(self.tokens) or self.types.dtype.kind not in "iu":
            raise self.unsound("Its token types are no list as long as that of its tokens.")
        if not ((self.types >= NORMAL) & (self.types <= BYTE)).all():
            raise self.unsound(f"A token type is not from {NORMAL} to {BYTE}.")
        if len(set(self.tokens)) != len(self.tokens):
            raise self.unsound("Two tokens have the same text.")
        self.of_type = {kind: np.flatnonzero(self.types == kind).tolist() for kind in (UNKNOWN, CONTROL, USER_DEFINED)}
        padding = {number for number in np.flatnonzero(self.types == UNUSED).tolist() if self.tokens[number] == f"[PAD{number}]"}
        self.ids = {token: number for number, token in enumerate(self.tokens) if number not in padding}

    def get(self, key: str) -> Any:
        return self.metadata.get(f"tokenizer.ggml.{key}")

    def word(self, key: str) -> str | None:
        value = self.get(key)
        return value if isinstance(value, str) else None

    def flag(self, key: str, default: bool) -> bool:
        value = self.get(key)
        return value if isinstance(value, bool) else default

    def unsound(self, cause: str) -> ConversionError:
        return ConversionError(f"The vocabulary of {self.name} does not make sense", cause, "Get the file again or make it anew.")

    def special(self) -> dict[str, int]:
        """Ids of special tokens by Hugging Face's names, and llama.cpp's further two."""
        found = {}
        for name, key in (*SPECIAL_TOKENS.items(), ("eot", "eot"), ("eom", "eom")):
            number = self.get(f"{key}_token_id")
            if type(number) is int and number < len(self.tokens):
                found[name] = number
            elif number is not None:
                raise self.unsound(f"{key}_token_id is {number!r}; it has {len(self.tokens)} tokens.")
        return found


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def load_tokenizer(header: Header) -> TokenizerFiles:
    """The tokenizer in a file. Raises ConversionError, naming it, for a kind or pre-tokenizer that cannot be read back."""
    vocabulary = _Vocabulary(header)
    kind = vocabulary.word("model")
    if kind not in TOKENIZER_MODELS:
        raise ConversionError(
            f"The tokenizer {str(kind)[:40]!r} cannot be read back",
            f"Supported: {', '.join(f'{name} ({what})' for name, what in TOKENIZER_MODELS.items())}.",
            "Use another file.",
        )
    pieces = None
    if kind == "gpt2":
        parts = _byte_level(vocabulary)
    else:
        parts = _characters(vocabulary, _merges_by_score(vocabulary) if kind == "llama" else _listed(vocabulary), kind == "llama")
        pieces = _pieces(vocabulary) if kind == "llama" else None
    special, starts = vocabulary.special(), kind == "llama" or vocabulary.word("pre") in ADDS_BOS
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
    return TokenizerFiles(
        tokenizer, settings, pieces, {f"{name}_token_id": special.get(name) for name in ("bos", "eos", "pad")}, list(dict.fromkeys(stops))
    )


def _added(vocabulary: _Vocabulary) -> list[JsonObject]:
    """What is found in a text before it is split: control and user-defined tokens."""
    numbers = sorted(vocabulary.of_type[CONTROL] + vocabulary.of_type[USER_DEFINED] + vocabulary.of_type[UNKNOWN])
    usual = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return [
        {"id": number, "content": vocabulary.tokens[number], **usual, "special": int(vocabulary.types[number]) != USER_DEFINED}
        for number in numbers
    ]


def _listed(vocabulary: _Vocabulary) -> list[list[str]]:
    """The merges that the file lists."""
    merges = vocabulary.get("merges")
    if not _texts(merges):
        raise vocabulary.unsound("It has no list of merges.")
    pairs = [list(merge.partition(" ")[::2]) for merge in merges]
    bad = next((pair for pair in pairs if "".join(pair) not in vocabulary.ids or any(part not in vocabulary.ids for part in pair)), None)
    if bad:
        raise vocabulary.unsound(f"The merge {' '.join(bad)[:100]!r} joins what is no token.")
    return pairs


def _merges_by_score(vocabulary: _Vocabulary) -> list[list[str]]:
    """Every pair of tokens that together are one, the best score first, as llama.cpp joins them (src/llama-vocab.cpp, `llm_tokenizer_spm`).

    Pairs of one token come in the order of their parts' ids, as in the tokenizer.json files that transformers made from SentencePiece's.
    """
    scores, ids = vocabulary.get("scores"), vocabulary.ids
    if not isinstance(scores, np.ndarray) or len(scores) != len(vocabulary.tokens) or not np.isfinite(scores).all():
        raise vocabulary.unsound("Its scores are no list of finite numbers as long as that of its tokens.")
    if max(map(len, ids)) > MAX_TOKEN or sum(map(len, ids)) > MAX_TEXT:  # every place where one can be cut is looked at
        raise vocabulary.unsound(f"Its tokens have up to {max(map(len, ids))} characters, {sum(map(len, ids))} in all.")
    usual = {number for number in ids.values() if int(vocabulary.types[number]) not in (UNKNOWN, CONTROL)}
    found = []
    for token, number in ids.items():
        if number not in usual or re.fullmatch("<.*>", token):
            continue
        pairs = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        known = [(ids[one], ids[other], one, other) for one, other in pairs if one in ids and other in ids]
        found += [(-float(scores[number]), number, *pair) for pair in sorted(known)]
    return [[one, other] for _, _, _, _, one, other in sorted(found)]


def _byte_level(vocabulary: _Vocabulary) -> JsonObject:
    name = vocabulary.word("pre")
    splits = {known: key for key, known in SPLIT_PATTERNS.items()}
    whole, pre = False, [BYTE_LEVEL | {"use_regex": True}]
    if name == "smollm":
        pre = [{"type": "Digits", "individual_digits": True}, *pre]
    elif name in splits:
        expression, whole = splits[name]
        pre = [{"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}, BYTE_LEVEL]
    elif name != "gpt-2":
        named = "without a name" if name is None else repr(name[:40])
        raise ConversionError(
            f"The pre-tokenizer {named} cannot be read back",
            f"Supported: {', '.join(sorted({'gpt-2', 'smollm', *splits}))}; another would split text otherwise.",
            "Use another file.",
        )
    return {
        "normalizer": None,
        "pre_tokenizer": pre[0] if len(pre) == 1 else {"type": "Sequence", "pretokenizers": pre},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": _model(vocabulary, _listed(vocabulary), None, False, ignore_merges=whole),
    }


def _characters(vocabulary: _Vocabulary, merges: list[list[str]], sentencepiece: bool) -> JsonObject:
    prefix = vocabulary.flag("add_space_prefix", sentencepiece)
    unknown = next((vocabulary.tokens[number] for number in vocabulary.of_type[UNKNOWN]), None)
    decoders: list[JsonObject] = [REPLACE | {"pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
    normalizer: JsonObject = REPLACE
    if prefix:
        normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, REPLACE]}
        decoders.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {
        "normalizer": normalizer,
        "pre_tokenizer": None if sentencepiece else NO_SPLIT,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": _model(vocabulary, merges, unknown, True),
    }


def _model(
    vocabulary: _Vocabulary, merges: list[list[str]], unknown: str | None, bytes_too: bool, ignore_merges: bool = False
) -> JsonObject:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": unknown,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": bytes_too,
        "byte_fallback": bytes_too,
        "ignore_merges": ignore_merges,
        "vocab": vocabulary.ids,
        "merges": merges,
    }


def _processor(vocabulary: _Vocabulary, first: int | None, last: int | None, special: dict[str, int]) -> JsonObject | None:
    """What puts BOS before and EOS after a text, and says what parts two texts."""
    separates = vocabulary.flag("add_sep_token", False) if isinstance(vocabulary.get("add_sep_token"), bool) else None
    if first is None and last is None and separates is None:
        return None
    between = special.get("sep", special.get("eos")) if separates else first if separates is not None else None
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
    scores, prefix = vocabulary.get("scores"), vocabulary.flag("add_space_prefix", True)
    pieces = [Piece(token, float(score), int(kind)) for token, score, kind in zip(vocabulary.tokens, scores, vocabulary.types, strict=True)]
    return write_pieces(pieces, prefix)
