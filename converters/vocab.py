"""Convert a model folder's tokenizer to GGUF metadata."""

import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from converters import added_tokens
from converters.added_tokens import SPACE, is_control
from converters.errors import ConversionError
from converters.gguf_file import MAX_STRINGS, Value, boolean, f32s, i32s, strings, text
from converters.pretokenizer import APPROXIMATED, pre_tokenizer_name
from converters.sentencepiece_file import read_pieces
from converters.special_tokens import special_keys, tokenizer_error
from converters.weights import read_json

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Token types (gguf-py/gguf/constants.py, TokenType)."""
ADDS_BOS = ("llama-bpe", "tekken")
"""Byte-level pre-tokenizers with which llama.cpp adds a first token by itself, as it does for SentencePiece (src/llama-vocab.cpp)."""
ADDED_SCORE, PADDING_SCORE = -1000.0, -10000.0


@dataclass
class Vocabulary:
    """Tokens by id with their types and, for SentencePiece, scores; `keys` are further GGUF keys, `notes` what users should know."""

    tokens: list[str]
    types: list[int]
    scores: list[float] | None
    keys: dict[str, Value]
    notes: list[str] = field(default_factory=list)


def load_vocabulary(
    folder: Path,
    config: dict[str, Any],
    chat_template: str | None = None,
    *,
    name: str = "",
    ends: Sequence[str] = (),
    opens: bool = False,
    added_first: bool = False,
    plain_bpe: bool = False,
) -> tuple[dict[str, Value], list[str]]:
    """All `tokenizer.*` keys for a model folder, `general.name`, which llama.cpp reads as one of them, and notes on differences there.

    config: config.json, for vocab_size (unused ids are filled with [PAD…]) and special ids. name: what people call the model, from which
    `general.name` is made (added_tokens.py). ends: the tokens that end an answer in the chat template. opens: whether
    what it writes begins with a special token (see `added_tokens.space_prefix`). added_first: for added tokens
    tokenizer.json takes precedence over tokenizer.model. plain_bpe: a tokenizer that falls back to bytes and adds no space is
    written with its merges, as Gemma 4's. Raises ConversionError for a tokenizer that llama.cpp would split differently from training.
    """
    tokenizer = read_json(folder / "tokenizer.json")
    try:
        return _load(folder, tokenizer, config, chat_template, name, ends, opens, added_first, plain_bpe)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise tokenizer_error(f"Its files are malformed ({type(error).__name__}: {error}).") from error


def _load(
    folder: Path,
    tokenizer: dict[str, Any],
    config: dict[str, Any],
    chat_template: str | None,
    name: str,
    ends: Sequence[str],
    opens: bool,
    added_first: bool,
    plain_bpe: bool,
) -> tuple[dict[str, Value], list[str]]:
    settings = read_json(folder / "tokenizer_config.json", 2**26) if (folder / "tokenizer_config.json").is_file() else {}
    generation = read_json(folder / "generation_config.json", 2**24) if (folder / "generation_config.json").is_file() else {}

    ids, added = _ids(tokenizer)
    size = config.get("vocab_size", len(ids))
    ids, added, notes = _within(ids, added, size)
    if type(size) is not int or not ids or max(ids.values()) >= size or size > MAX_STRINGS:
        raise tokenizer_error(
            f"It has {len(ids)} tokens with ids up to {max(ids.values(), default=-1)}; the model has room for {size!r}.",
            "Choose a folder whose tokenizer belongs to its model.",
        )
    if 2 * len(ids) < size:  # padding rows of a matrix are far fewer
        raise tokenizer_error(
            f"It has {len(ids)} tokens; the model has embeddings for {size}.", "Choose a folder whose tokenizer belongs to its model."
        )

    # Without byte fallback it is byte-level BPE; with it, SentencePiece or Gemma 4's own kind.
    if not tokenizer["model"].get("byte_fallback"):
        vocabulary = _byte_level(tokenizer, ids, size)
    elif plain_bpe and not _space_prefix(tokenizer, opens)[0]:
        vocabulary = _plain(tokenizer, ids, size)
    else:
        vocabulary = _sentencepiece(folder, tokenizer, ids, {entry["content"] for entry in added}, size, opens)

    _mark_added(vocabulary, added, added_first)
    if len(set(vocabulary.tokens)) != size:
        twice = next(token for token in vocabulary.tokens if vocabulary.tokens.count(token) > 1)
        raise tokenizer_error(f"Two tokens have the same text {twice!r}.")

    keys = {**vocabulary.keys, "tokens": strings(vocabulary.tokens), "token_type": i32s(vocabulary.types)}
    if vocabulary.scores is not None:
        keys["scores"] = f32s(vocabulary.scores)
    starts = keys["model"].data == "llama" or keys.get("pre", text("")).data in ADDS_BOS
    keys |= special_keys(ids, tokenizer, settings, config, generation, starts, ends)

    result = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
    if chat_template is not None:
        result["tokenizer.chat_template"] = text(chat_template)
    general_name, differences = _general_name(name, added, ids)
    result["general.name"] = text(general_name)
    return result, notes + vocabulary.notes + differences


def _general_name(name: str, added: list[dict[str, Any]], ids: dict[str, int]) -> tuple[str, list[str]]:
    """The name under which llama.cpp treats white space around special tokens as the tokenizer does, and notes where it cannot."""
    chosen = added_tokens.choose_name(name, added, ids)
    notes = []
    if differing := added_tokens.differing(chosen, added):
        notes.append(
            f"White space next to {_named(differing)} is treated otherwise by the base's tokenizer; llama.cpp cannot do that, so that "
            "training and chat treat it as llama.cpp does."
        )
    if words := [entry["content"] for entry in added if entry.get("single_word")]:
        notes.append(f"The base's tokenizer reads {_named(words)} only as whole words; llama.cpp, training and chat read them anywhere.")
    return chosen, notes


def _named(tokens: list[str]) -> str:
    """A few tokens in words."""
    more = f" and {len(tokens) - 3} more" if len(tokens) > 3 else ""
    return ", ".join(repr(token) for token in tokens[:3]) + more


def _ids(tokenizer: dict[str, Any]) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Every token's id, and the added tokens; refuses models other than BPE and tables that contradict themselves."""
    model = tokenizer.get("model")
    added = tokenizer.get("added_tokens") or []
    if not isinstance(model, dict) or model.get("type") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else None
        raise tokenizer_error(
            f"tokenizer.json holds a model of type {kind!r}; byte-level BPE and SentencePiece-style BPE are supported.",
            "Choose another base model.",
        )
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise tokenizer_error(f"Its model sets {key}, which llama.cpp does not support.", "Choose another base model.")

    ids = model.get("vocab")
    if (
        not isinstance(ids, dict)
        or not isinstance(added, list)
        or not all(isinstance(token, dict) and isinstance(token.get("content"), str) and type(token.get("id")) is int for token in added)
    ):
        raise tokenizer_error("tokenizer.json has no readable vocabulary.")

    ids = dict(ids)
    for token in added:
        if ids.setdefault(token["content"], token["id"]) != token["id"]:
            raise tokenizer_error(f"The token {token['content']!r} has two ids.")
    if not all(type(number) is int and number >= 0 for number in ids.values()) or len(set(ids.values())) != len(ids):
        raise tokenizer_error("Two tokens have the same id, or an id is not a number.")
    return ids, added


def _within(ids: dict[str, int], added: list[dict[str, Any]], size: Any) -> tuple[dict[str, int], list[dict[str, Any]], list[str]]:
    """Without special tokens that the model has no room for (Gemma 3's text models lack the one for images), and a note about them."""
    outside = [token for token in added if type(size) is int and token["id"] >= size and token.get("special")]
    removed = {token["content"] for token in outside}
    notes = []
    if removed:
        notes.append(f"The model has no room for the special tokens {', '.join(sorted(removed))[:200]}, which are left out.")
    inside = {token: number for token, number in ids.items() if token not in removed}
    return inside, [token for token in added if token not in outside], notes


def _merges(tokenizer: dict[str, Any], ids: dict[str, int]) -> list[tuple[str, str]]:
    """The merges as pairs; both forms of file ("a b" and ["a", "b"])."""
    pairs = []
    for merge in tokenizer["model"].get("merges") or []:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if (
            not isinstance(parts, list)
            or len(parts) != 2
            or not all(isinstance(part, str) and part in ids for part in parts)
            or "".join(parts) not in ids
        ):
            raise tokenizer_error(f"The merge {str(merge)[:100]!r} does not join two tokens to a third.")
        pairs.append((parts[0], parts[1]))
    return pairs


def _padded(ids: dict[str, int], size: int) -> tuple[list[str], list[int]]:
    tokens = [f"[PAD{number}]" for number in range(size)]
    types = [UNUSED] * size
    for token, number in ids.items():
        tokens[number] = token
        types[number] = NORMAL
    return tokens, types


def _byte_level(tokenizer: dict[str, Any], ids: dict[str, int], size: int) -> Vocabulary:
    name = pre_tokenizer_name(tokenizer)
    tokens, types = _padded(ids, size)
    notes = []
    if tokenizer.get("normalizer"):
        notes.append("The tokenizer normalizes text to NFC, llama.cpp does not: text that is not NFC may be split differently there.")
    if name in APPROXIMATED:
        notes.append("llama.cpp may split words with capitals beyond A to Z, or with combining marks, differently from the tokenizer.")
    keys = {"model": text("gpt2"), "pre": text(name), "merges": _merge_strings(_merges(tokenizer, ids))}
    return Vocabulary(tokens, types, None, keys, notes)


def _merge_strings(merges: list[tuple[str, str]]) -> Value:
    """Merges as GGUF has them, a space between the two parts."""
    if any(" " in part for pair in merges for part in pair):
        raise tokenizer_error("A merge holds a space, which tokens cannot.")
    return strings(f"{left} {right}" for left, right in merges)


def _sentencepiece(folder: Path, tokenizer: dict[str, Any], ids: dict[str, int], added: set[str], size: int, opens: bool) -> Vocabulary:
    """added: words that are found before a text is split, so that no merge ever makes or meets them."""
    prefix, notes = _space_prefix(tokenizer, opens)
    tokens, types = _padded(ids, size)
    scores = [PADDING_SCORE] * size
    merges = _merges(tokenizer, ids)
    if (folder / "tokenizer.model").is_file():
        types = [UNUSED] * size
        for number, piece in enumerate(read_pieces(folder / "tokenizer.model")[:size]):
            if tokens[number] != piece.text:
                raise tokenizer_error(
                    f"tokenizer.model and tokenizer.json disagree about token {number}: {piece.text!r}, {tokens[number]!r}."
                )
            types[number] = piece.type
            scores[number] = piece.score

        # transformers merges in the list's order, llama.cpp by score: both must be the same order.
        merged_scores = [scores[ids["".join(merge)]] for merge in merges]
        if any(score < following for score, following in pairwise(merged_scores)):
            raise tokenizer_error("tokenizer.model's scores and tokenizer.json's merges put tokens in different orders.")
        _check_complete(set(merges), ids.keys() - added)
    else:
        _derive_scores(merge_order(merges, ids, added), ids, tokenizer["model"].get("unk_token"), types, scores)
    _check_bytes(ids)
    keys = {"model": text("llama"), "pre": text("default"), "add_space_prefix": boolean(prefix)}
    return Vocabulary(tokens, types, scores, keys, notes)


def _plain(tokenizer: dict[str, Any], ids: dict[str, int], size: int) -> Vocabulary:
    """Merges over characters instead of bytes (llama.cpp's tokenizer "gemma4"), which requires scores but does not use them."""
    tokens, types = _padded(ids, size)
    _check_bytes(ids)
    for token, number in ids.items():
        types[number] = BYTE if re.fullmatch("<0x[0-9A-F]{2}>", token) else NORMAL
    keys = {"model": text("gemma4"), "merges": _merge_strings(_merges(tokenizer, ids)), "add_space_prefix": boolean(False)}
    return Vocabulary(tokens, types, [ADDED_SCORE] * size, keys)


def _check_bytes(ids: dict[str, int]) -> None:
    missing = next((byte for byte in range(256) if f"<0x{byte:02X}>" not in ids), None)
    if missing is not None:
        raise tokenizer_error(
            f"The byte token <0x{missing:02X}> is missing, without which llama.cpp cannot spell unknown characters.",
            "Choose another base model.",
        )


def _derive_scores(order: list[list[str]], ids: dict[str, int], unknown: str | None, types: list[int], scores: list[float]) -> None:
    """Fill in what tokenizer.model would hold: minus a token's rank in the order of merges, and the types of byte and unknown tokens."""
    for rank, equals in enumerate(order):
        for token in equals:
            scores[ids[token]] = -float(rank)

    # A token that no merge makes is never joined: it comes last.
    for token, number in ids.items():
        if re.fullmatch("<0x[0-9A-F]{2}>", token):
            types[number] = BYTE
            scores[number] = 0.0
        elif token == unknown:
            types[number] = UNKNOWN
            scores[number] = 0.0
        elif scores[number] == PADDING_SCORE:
            scores[number] = -float(len(order))


def merge_order(merges: list[tuple[str, str]], ids: dict[str, int], added: Iterable[str] = ()) -> list[list[str]]:
    """The merged tokens from first to last, equals together, if one score per token gives the same splits as the list of merges.

    llama.cpp joins any two neighbours whose text together is a token, highest score first, leftmost among equals; a merge list joins
    listed pairs in the list's order. They agree when all merges to one token stand together and no possible pair is missing. Runs of
    spaces may mix: joined leftmost first or longest first, they end alike. added: words that no merge makes. Raises ConversionError
    otherwise. (Where merges to the same token overlap, as in "aaa", llama.cpp and SentencePiece take the left one.)
    """
    order: list[list[str]] = []
    ranks: dict[str, int] = {}
    for pair in merges:
        token = "".join(pair)
        rank = ranks.setdefault(token, len(order))
        if rank == len(order):
            order.append([token])
        elif rank < len(order) - 1:
            # A second merge to this token comes after others: all since then share its rank, which only runs of spaces may.
            order[rank:] = [[merged for equals in order[rank:] for merged in equals]]
            ranks |= dict.fromkeys(order[rank], rank)
            if any(merged.strip(SPACE) for merged in order[rank]):
                raise tokenizer_error(
                    "Its merges cannot be written as one score per token: merges to the same token do not follow each other.",
                    "Use a base model with another tokenizer.",
                )

    _check_complete(set(merges), ids.keys() - set(added))
    return order


def _check_complete(listed: set[tuple[str, str]], ids: Set[str]) -> None:
    for token in ids:
        if not re.fullmatch("<.*>", token):
            for cut in range(1, len(token)):
                if token[:cut] in ids and token[cut:] in ids and (token[:cut], token[cut:]) not in listed:
                    raise tokenizer_error(
                        f"Its merges cannot be written as one score per token: {token[:cut]!r} + {token[cut:]!r} is not listed.",
                        "Use a base model with another tokenizer.",
                    )


def _space_prefix(tokenizer: dict[str, Any], opens: bool) -> tuple[bool, list[str]]:
    """Whether text gets a leading space, from the forms that SentencePiece-style tokenizers take; any other is refused."""
    prefix = added_tokens.space_prefix(tokenizer, opens)
    if prefix is None:
        raise ConversionError(
            "The tokenizer is not recognized",
            "It falls back to bytes like SentencePiece, but its normalizer and pre-tokenizer are not supported.",
            "Choose another base model.",
        )
    scheme = (tokenizer.get("pre_tokenizer") or {}).get("prepend_scheme", "always")
    if tokenizer.get("normalizer") is not None or scheme == "never":
        return prefix, []
    where = "before text that does not start with one" if scheme == "always" else "at the very start of a text"
    instead = "at the start and after every special token" if prefix else "nowhere"
    return prefix, [f"The base's tokenizer puts a space {where}; llama.cpp puts one {instead}, and so do training and chat."]


def _mark_added(vocabulary: Vocabulary, added: list[dict[str, Any]], added_first: bool) -> None:
    for entry in added:
        token = entry["content"]
        number = entry["id"]
        if not added_first and vocabulary.scores is not None and vocabulary.types[number] not in (NORMAL, UNUSED):
            continue

        special = is_control(entry)
        vocabulary.types[number] = CONTROL if special else USER_DEFINED
        vocabulary.tokens[number] = token if special else token.replace(SPACE, " ")
        if vocabulary.scores is not None:
            vocabulary.scores[number] = ADDED_SCORE
