"""A model folder's tokenizer as GGUF metadata."""

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from converters.errors import ConversionError
from converters.gguf_file import MAX_STRINGS, Value, boolean, f32s, i32s, strings, text, u32
from converters.pretokenizer import recognise
from converters.sentencepiece_file import read_pieces
from converters.weights import read_json

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
"""Token types (gguf-py/gguf/constants.py, TokenType)."""
SPECIAL = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding", "sep": "seperator", "cls": "cls", "mask": "mask"}
"""Names of special tokens in Hugging Face's files and in GGUF's keys (the misspelt one is GGUF's)."""
STOPS = frozenset((
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>", "<|endoftext|>", "</s>",
    "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>",
    "<\uff5cend▁of▁sentence\uff5c>", "[e~["))
"""Texts of tokens at which llama.cpp stops by itself (src/llama-vocab.cpp, `special_eog_ids`)."""
ADDED_SCORE, PADDING_SCORE = -1000.0, -10000.0
SPACE = "▁"


def _unsound(cause: str, remedy: str = "Get the tokenizer again.") -> ConversionError:
    return ConversionError("The tokenizer cannot be converted", cause, remedy)


@dataclass
class Vocabulary:
    """Tokens by id with their types and, for SentencePiece, scores; `keys` are further GGUF keys, `notes` what users should know."""

    tokens: list[str]
    types: list[int]
    scores: list[float] | None
    keys: dict[str, Value]
    notes: list[str] = field(default_factory=list)


def load_vocabulary(folder: Path, config: dict[str, Any], chat_template: str | None = None) -> tuple[dict[str, Value], list[str]]:
    """All `tokenizer.*` keys for a model folder, and notes on where llama.cpp differs.

    config: config.json, for vocab_size (unused ids are filled with [PAD…]) and special ids. Raises ConversionError for a tokenizer
    that llama.cpp would split otherwise than the model was trained on.
    """
    tokenizer = read_json(folder / "tokenizer.json")
    try:
        return _load(folder, tokenizer, config, chat_template)
    except (AttributeError, IndexError, KeyError, TypeError) as error:
        raise _unsound(f"Its files are not of the form they should be ({type(error).__name__}: {error}).") from error


def _load(folder: Path, tokenizer: dict[str, Any], config: dict[str, Any], chat_template: str | None) -> tuple[dict[str, Value], list[str]]:
    settings = read_json(folder / "tokenizer_config.json", 2**26) if (folder / "tokenizer_config.json").is_file() else {}
    generation = read_json(folder / "generation_config.json", 2**24) if (folder / "generation_config.json").is_file() else {}
    ids, added = _ids(tokenizer)
    size = config.get("vocab_size", len(ids))
    if type(size) is not int or not ids or max(ids.values()) >= size or size > MAX_STRINGS:
        raise _unsound(f"It has {len(ids)} tokens with ids up to {max(ids.values(), default=-1)}; the model has room for {size!r}.",
                       "Choose a folder whose tokenizer belongs to its model.")
    if tokenizer["model"].get("byte_fallback"):
        vocabulary = _sentencepiece(folder, tokenizer, ids, size)
    else:
        vocabulary = _byte_level(tokenizer, ids, size)
    _mark_added(vocabulary, added)
    if len(set(vocabulary.tokens)) != size:
        twice = next(one for one in vocabulary.tokens if vocabulary.tokens.count(one) > 1)
        raise _unsound(f"Two tokens have the same text {twice!r}.")
    keys = {**vocabulary.keys, "tokens": strings(vocabulary.tokens), "token_type": i32s(vocabulary.types)}
    if vocabulary.scores is not None:
        keys["scores"] = f32s(vocabulary.scores)
    keys |= _special_keys(ids, tokenizer, settings, config, generation)
    result = {f"tokenizer.ggml.{key}": value for key, value in keys.items()}
    if chat_template is not None:
        result["tokenizer.chat_template"] = text(chat_template)
    return result, vocabulary.notes


def _ids(tokenizer: dict[str, Any]) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Every token's id, and the added tokens; refuses models other than BPE and tables that contradict themselves."""
    model, added = tokenizer.get("model"), tokenizer.get("added_tokens") or []
    if not isinstance(model, dict) or model.get("type") != "BPE":
        kind = model.get("type") if isinstance(model, dict) else None
        raise _unsound(f"tokenizer.json holds a model of type {kind!r}; byte-level BPE and SentencePiece-style BPE are supported.",
                       "Choose another base model.")
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise _unsound(f"Its model sets {key}, which llama.cpp does not know.", "Choose another base model.")
    ids = model.get("vocab")
    if not isinstance(ids, dict) or not isinstance(added, list) or not all(
            isinstance(token, dict) and isinstance(token.get("content"), str) and type(token.get("id")) is int for token in added):
        raise _unsound("tokenizer.json has no readable vocabulary.")
    ids = dict(ids)
    for token in added:
        if ids.setdefault(token["content"], token["id"]) != token["id"]:
            raise _unsound(f"The token {token['content']!r} has two ids.")
    if not all(type(number) is int and number >= 0 for number in ids.values()) or len(set(ids.values())) != len(ids):
        raise _unsound("Two tokens have the same id, or an id is no number.")
    return ids, added


def _merges(tokenizer: dict[str, Any], ids: dict[str, int]) -> list[tuple[str, str]]:
    """The merges as pairs; both forms of file ("a b" and ["a", "b"])."""
    pairs = []
    for merge in tokenizer["model"].get("merges") or []:
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or len(parts) != 2 or not all(isinstance(part, str) and part in ids for part in parts) \
                or "".join(parts) not in ids:
            raise _unsound(f"The merge {str(merge)[:100]!r} joins what is no token.")
        pairs.append((parts[0], parts[1]))
    return pairs


def _padded(ids: dict[str, int], size: int) -> tuple[list[str], list[int]]:
    tokens, types = [f"[PAD{number}]" for number in range(size)], [UNUSED] * size
    for token, number in ids.items():
        tokens[number], types[number] = token, NORMAL
    return tokens, types


def _byte_level(tokenizer: dict[str, Any], ids: dict[str, int], size: int) -> Vocabulary:
    name = recognise(tokenizer)
    tokens, types = _padded(ids, size)
    merges = _merges(tokenizer, ids)
    if any(" " in part for pair in merges for part in pair):
        raise _unsound("A merge holds a space, which byte-level tokens cannot.")
    notes = ["The tokenizer normalizes text to NFC, llama.cpp does not: text that is not NFC may be split otherwise there."]
    keys = {"model": text("gpt2"), "pre": text(name), "merges": strings(f"{left} {right}" for left, right in merges)}
    return Vocabulary(tokens, types, None, keys, notes if tokenizer.get("normalizer") else [])


def _sentencepiece(folder: Path, tokenizer: dict[str, Any], ids: dict[str, int], size: int) -> Vocabulary:
    prefix, notes = _space_prefix(tokenizer)
    tokens, types = _padded(ids, size)
    scores = [PADDING_SCORE] * size
    merges = _merges(tokenizer, ids)
    if (folder / "tokenizer.model").is_file():
        for number, piece in enumerate(read_pieces(folder / "tokenizer.model")[:size]):
            if tokens[number] != piece.text:
                raise _unsound(f"tokenizer.model and tokenizer.json disagree about token {number}: {piece.text!r}, {tokens[number]!r}.")
            types[number], scores[number] = piece.type, piece.score
        if any(scores[ids["".join(one)]] < scores[ids["".join(other)]] for one, other in pairwise(merges)):
            raise _unsound("tokenizer.model's scores and tokenizer.json's merges put tokens in different orders.")
        _check_complete(set(merges), ids)
    else:
        _derive_scores(merge_order(merges, ids), ids, tokenizer["model"].get("unk_token"), types, scores)
    missing = next((byte for byte in range(256) if f"<0x{byte:02X}>" not in ids), None)
    if missing is not None:
        raise _unsound(f"The byte token <0x{missing:02X}> is missing, without which llama.cpp cannot spell unknown characters.",
                       "Choose another base model.")
    keys = {"model": text("llama"), "pre": text("default"), "add_space_prefix": boolean(prefix)}
    return Vocabulary(tokens, types, scores, keys, notes)


def _derive_scores(order: list[list[str]], ids: dict[str, int], unknown: str | None, types: list[int], scores: list[float]) -> None:
    """Fill in what tokenizer.model would say: minus a token's place in the order of merges, and the types of byte and unknown tokens."""
    for rank, equals in enumerate(order):
        for token in equals:
            scores[ids[token]] = -float(rank)
    for token, number in ids.items():
        if re.fullmatch("<0x[0-9A-F]{2}>", token):
            types[number], scores[number] = BYTE, 0.0
        elif token == unknown:
            types[number], scores[number] = UNKNOWN, 0.0
        elif scores[number] == PADDING_SCORE:
            scores[number] = -float(len(order))


def merge_order(merges: list[tuple[str, str]], ids: dict[str, int]) -> list[list[str]]:
    """The merged tokens from first to last, equals together, if one score per token gives the same splits as the list of merges.

    llama.cpp joins any two neighbours whose text together is a token, highest score first, leftmost among equals; a merge list joins
    listed pairs in the list's order. They agree when all merges to one token stand together and no possible pair is missing. Runs of
    spaces may mix: joined leftmost first or longest first, they end alike. Raises ConversionError otherwise. (Where merges to the same
    token overlap, as in "aaa", llama.cpp and SentencePiece take the left one.)
    """
    order: list[list[str]] = []
    place: dict[str, int] = {}
    for pair in merges:
        token = "".join(pair)
        at = place.setdefault(token, len(order))
        if at == len(order):
            order.append([token])
        elif at < len(order) - 1:
            order[at:] = [[one for equals in order[at:] for one in equals]]
            place |= dict.fromkeys(order[at], at)
            if any(one.strip(SPACE) for one in order[at]):
                raise _unsound("Its merges cannot be written as one score per token: merges to the same token stand apart.",
                               "Use a base model with another tokenizer.")
    _check_complete(set(merges), ids)
    return order


def _check_complete(listed: set[tuple[str, str]], ids: dict[str, int]) -> None:
    for token in ids:
        if not re.fullmatch("<.*>", token):
            for cut in range(1, len(token)):
                if token[:cut] in ids and token[cut:] in ids and (token[:cut], token[cut:]) not in listed:
                    raise _unsound(f"Its merges cannot be written as one score per token: {token[:cut]!r} + {token[cut:]!r} is not listed.",
                                   "Use a base model with another tokenizer.")


def _space_prefix(tokenizer: dict[str, Any]) -> tuple[bool, list[str]]:
    """Whether text gets a leading space, from the forms that SentencePiece-style tokenizers take; any other is refused."""
    normalizer, pre = tokenizer.get("normalizer"), tokenizer.get("pre_tokenizer")
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    if pre is None and normalizer == {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, replace]}:
        return True, []
    if pre is None and normalizer in (replace, {"type": "Sequence", "normalizers": [replace]}):
        return False, []
    if normalizer is None and isinstance(pre, dict) and pre.get("type") == "Metaspace" and pre.get("replacement") == SPACE \
            and pre.get("split", True) is False:
        scheme = pre.get("prepend_scheme", "always")
        if scheme == "never":
            return False, []
        if scheme in ("always", "first"):
            where = "" if scheme == "always" else " and only at the very start"
            return True, [f"The tokenizer puts a space before text that does not start with one{where}; "
                          "llama.cpp puts one at the start and after every special token."]
    raise ConversionError("The tokenizer is not recognised",
                          "It falls back to bytes like SentencePiece, but its normalizer and pre-tokenizer are of no known form.",
                          "Choose another base model.")


def _looks_special(token: str) -> bool:
    """Whether a token not marked special must still be one for llama.cpp (gguf converters treat these alike)."""
    return bool(re.fullmatch(r"<\|.*\|>|<\uff5c.*\uff5c>|<unused.*>|<pad>|<mask>|<2mass>|\[@BOS@\]", token, re.DOTALL))


def _mark_added(vocabulary: Vocabulary, added: list[dict[str, Any]]) -> None:
    for entry in added:
        token, number = entry["content"], entry["id"]
        if vocabulary.scores is not None and vocabulary.types[number] not in (NORMAL, UNUSED):
            continue
        special = bool(entry.get("special")) or _looks_special(token)
        vocabulary.types[number] = CONTROL if special else USER_DEFINED
        vocabulary.tokens[number] = token if special else token.replace(SPACE, " ")
        if vocabulary.scores is not None:
            vocabulary.scores[number] = ADDED_SCORE
        if entry.get("lstrip") or entry.get("rstrip") or entry.get("single_word"):
            vocabulary.notes.append(f"The token {token!r} swallows blanks beside it or needs word bounds; llama.cpp does neither.")


def _id_list(value: Any) -> list[int]:
    return [one for one in (value if isinstance(value, list) else [value]) if type(one) is int]


def _special_keys(ids: dict[str, int], tokenizer: dict[str, Any], settings: dict[str, Any], config: dict[str, Any],
                  generation: dict[str, Any]) -> dict[str, Value]:
    """Ids of special tokens (tokenizer_config.json's word first, then config.json's), further stop tokens, and what is added to a text."""
    found: dict[str, int] = {}
    for name in SPECIAL:
        entry = settings.get(f"{name}_token")
        content = entry.get("content") if isinstance(entry, dict) else entry
        numbers = [ids[content]] if isinstance(content, str) and content in ids else _id_list(config.get(f"{name}_token_id"))
        if numbers:
            found[name] = numbers[0]
    first, last = _template_ends(tokenizer)
    flags = {"add_bos_token": settings.get("add_bos_token"), "add_eos_token": settings.get("add_eos_token")}
    if not isinstance(flags["add_bos_token"], bool):
        flags["add_bos_token"] = first is not None
        if first is not None:
            found["bos"] = ids[first]
    if not isinstance(flags["add_eos_token"], bool):
        flags["add_eos_token"] = last is not None
        if last is not None:
            found["eos"] = ids[last]
    wrong = next((f"{name} {number}" for name, number in found.items() if not 0 <= number < config.get("vocab_size", len(ids))), None)
    if wrong or (flags["add_bos_token"] and "bos" not in found) or (flags["add_eos_token"] and "eos" not in found):
        raise _unsound(f"Special tokens are missing or out of range ({wrong or 'a token to add at the start or end has no id'}).")
    keys = {f"{SPECIAL[name]}_token_id": u32(number) for name, number in found.items()}
    texts = {number: token for token, number in ids.items()}
    stops = [number for number in _id_list(generation.get("eos_token_id")) + _id_list(config.get("eos_token_id"))
             if number != found.get("eos") and texts.get(number, "</s>") not in STOPS]
    for name, number in zip(("eot", "eom"), dict.fromkeys(stops), strict=False):
        keys[f"{name}_token_id"] = u32(number)
    return keys | {key: boolean(bool(flag)) for key, flag in flags.items()}


def _template_ends(tokenizer: dict[str, Any]) -> tuple[str | None, str | None]:
    """The special tokens that the post-processor puts before and after a single text."""
    processor = tokenizer.get("post_processor") or {}
    for step in processor.get("processors") or [processor]:
        if step.get("type") == "TemplateProcessing":
            names = [piece.get("SpecialToken", {}).get("id") for piece in step["single"]]
            texts = [step["special_tokens"][name]["tokens"] if name else [] for name in names]
            if any(len(tokens) > 1 for tokens in texts) or any(names[1:-1]) or None not in names:
                raise _unsound("Its post-processor puts more than one token before or after a text.", "Choose another base model.")
            return "".join(texts[0]) or None, "".join(texts[-1]) or None
        if step.get("type") not in (None, "ByteLevel"):
            raise _unsound(f"Its post-processor {step.get('type')!r} is not known.", "Choose another base model.")
    return None, None
