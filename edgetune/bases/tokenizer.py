"""A base's tokenizer and chat template, read without transformers (which would import torch)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from converters.added_tokens import as_exported, is_control
from edgetune.bases import find
from edgetune.data.template import ChatTemplate, default_template
from edgetune.data.typed_marks import GUARD, Mark, guarded_ids
from edgetune.errors import InputError

PROCESSOR_FILES = ("chat_template.json", "processor_config.json")
"""Where processors hold their template (processing_utils.py in transformers)."""


@dataclass(frozen=True)
class BaseTokenizer:
    """Token ids as llama.cpp gives them for the exported model, and the template with its marks.

    origin: "model" when the template is the base's own, "chatml" or "plain" when the base has none. rewritten: tokenizer.json as an
    exported file has it, where that differs from the base's.
    """

    folder: Path
    template: ChatTemplate
    origin: str
    bos_id: int | None
    eos_id: int
    pad_id: int
    adds_bos: bool
    rewritten: str = ""

    @cached_property
    def inner(self) -> Any:
        """The `tokenizers` object."""
        from tokenizers import Tokenizer

        path = self.folder / "tokenizer.json"
        try:
            return Tokenizer.from_str(self.rewritten) if self.rewritten else Tokenizer.from_file(str(path))
        except Exception as error:  # tokenizers raises nothing narrower
            raise InputError(f"{path} cannot be read", str(error), "Copy the model again.") from error

    @cached_property
    def specials(self) -> dict[str, int]:
        """Special tokens and their ids."""
        return {t.content: i for i, t in self.inner.get_added_tokens_decoder().items() if t.special}

    @cached_property
    def marks(self) -> dict[str, Mark]:
        """Special tokens by their text."""
        added = self.inner.get_added_tokens_decoder().items()
        return {token.content: Mark(number, token.lstrip, token.rstrip) for number, token in added if token.special}

    @cached_property
    def _text_alone(self) -> Any:
        """The `tokenizers` object in which special tokens are text."""
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(self.inner.to_str())
        tokenizer.encode_special_tokens = True
        return tokenizer

    def _guarded(self, text: str) -> list[int]:
        return guarded_ids(text, self.marks, lambda part: list(self._text_alone.encode(part, add_special_tokens=False).ids))

    def encode(self, text: str) -> list[int]:
        """Ids of rendered text, with BOS in front where the tokenizer adds one and the text does not begin with it."""
        return self._with_bos(self.plain(text))

    def encode_many(self, texts: list[str]) -> list[list[int]]:
        """`encode` for many texts at once."""
        ids = [encoding.ids for encoding in self.inner.encode_batch_fast(texts, add_special_tokens=False)]
        return [self._with_bos(self._guarded(text) if GUARD in text else known) for text, known in zip(texts, ids, strict=True)]

    def plain(self, text: str) -> list[int]:
        """Ids of text that continues other text: nothing is put in front."""
        if GUARD in text:
            return self._guarded(text)
        ids: list[int] = self.inner.encode(text, add_special_tokens=False).ids
        return ids

    def _with_bos(self, ids: list[int]) -> list[int]:
        if self.adds_bos and self.bos_id is not None and ids[:1] != [self.bos_id]:
            return [self.bos_id, *ids]
        return ids

    def decode(self, ids: list[int]) -> str:
        """Text of ids, special tokens left out."""
        text: str = self.inner.decode(ids, skip_special_tokens=True)
        return text

    def bytes_of(self, token: int) -> bytes:
        """What a token stands for; byte-level vocabularies write bytes as printable characters, SentencePiece a space as '▁'."""
        from edgetune.data.token_view import byte_table

        text = self.inner.id_to_token(token) or ""
        if token in self._added:
            return text.encode()
        if self._byte_level:
            table = byte_table()
            return bytes(table[c] for c in text) if all(c in table for c in text) else text.encode()
        if len(text) == 6 and text.startswith("<0x") and text.endswith(">"):
            return bytes([int(text[3:5], 16)])
        return text.replace("▁", " ").encode()

    @cached_property
    def _added(self) -> set[int]:
        return set(self.inner.get_added_tokens_decoder())

    @cached_property
    def _byte_level(self) -> bool:
        return "ByteLevel(" in repr(self.inner.decoder)

    def newlines(self, ids: list[int]) -> list[int]:
        """How many line breaks each token writes; byte-level vocabularies write one as 'Ċ' (GPT-2's byte encoder), others as <0x0A>."""
        name = self.inner.id_to_token
        texts = {i: name(i) or "" for i in set(ids)}
        counts = {i: text.count("Ċ") + text.count("\n") + (text == "<0x0A>") for i, text in texts.items()}
        return [counts[i] for i in ids]


def _content(value: Any) -> str | None:
    return value.get("content") if isinstance(value, dict) else value


def _template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The chat template: the tokenizer's, else that of the processor, which a model that also sees may have it in."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text(encoding="utf-8")
    for held in (settings, *(_settings(folder, name) for name in PROCESSOR_FILES)):
        value = held.get("chat_template")
        if isinstance(value, list):  # several named templates: the one called "default"
            value = next((v.get("template") for v in value if isinstance(v, dict) and v.get("name") == "default"), None)
        if isinstance(value, str):
            return value
    return None


def _settings(folder: Path, name: str = "tokenizer_config.json") -> dict[str, Any]:
    path = folder / name
    settings: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return settings


def own_tokenizer(adapters: Iterable[Path]) -> Path | None:
    """The first adapter folder that has a tokenizer of its own, which then counts instead of the model's."""
    return next((folder for folder in adapters if (folder / "tokenizer.json").is_file()), None)


def load_tokenizer(model: Path, date: str, own: Path | None = None) -> BaseTokenizer:
    """Read a model folder's tokenizer. `date` is the day its template may write. Raises InputError.

    own: another folder whose tokenizer counts instead, with the model's template where it has none (an adapter's).
    """
    try:
        return _load(model, date, own)
    except (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        where = f"{type(error).__name__}: {error}"
        raise InputError(f"The tokenizer in {own or model} cannot be read", where, "Copy the model again.") from error


def _load(model: Path, date: str, own: Path | None) -> BaseTokenizer:
    folder = own or model
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError(
            f"No tokenizer.json in {folder}",
            "EdgeTune reads fast tokenizers.",
            "Save it once with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder).",
        )

    document = json.loads(path.read_text(encoding="utf-8"))
    settings = _settings(folder)
    config: Any = find.text_settings(json.loads((model / "config.json").read_text(encoding="utf-8")))[0]
    vocabulary = document["model"].get("vocab")
    ids = {**(vocabulary if isinstance(vocabulary, dict) else {}), **{t["content"]: t["id"] for t in document.get("added_tokens", [])}}
    names = {i: token for token, i in ids.items()}

    def mark(name: str) -> tuple[str | None, int | None]:
        text = _content(settings.get(f"{name}_token"))
        if text in ids:
            return text, ids[text]
        number = config.get(f"{name}_token_id")
        number = number[0] if isinstance(number, list) and number else number
        return (names[number], number) if number in names else (None, None)

    bos, bos_id = mark("bos")
    eos, eos_id = mark("eos")
    _, pad_id = mark("pad")
    if eos_id is None or eos is None:
        raise InputError(
            f"The tokenizer in {folder} has no end-of-text token",
            "Neither tokenizer_config.json nor config.json names one.",
            "Set eos_token in tokenizer_config.json.",
        )

    # A base without a template gets one that its vocabulary can write.
    source = _template(folder, settings)
    if source is None and own is not None:
        source = _template(model, _settings(model))
    added = document.get("added_tokens", [])
    origin, source = ("model", source) if source else default_template({token["content"] for token in added})
    control = frozenset(token["content"] for token in added if is_control(token))
    template = ChatTemplate(source, bos or "", eos, date, control)

    return BaseTokenizer(
        folder,
        template,
        origin,
        bos_id,
        eos_id,
        eos_id if pad_id is None else pad_id,
        _adds_bos(document, settings, bos, bos_id),
        json.dumps(changed, ensure_ascii=False) if (changed := as_exported(document, template.opens)) else "",
    )


def _adds_bos(document: dict[str, Any], settings: dict[str, Any], bos: str | None, bos_id: int | None) -> bool:
    """Whether the tokenizer puts BOS in front of text: its flag, else its post-processor."""
    if bos is None or bos_id is None:
        return False
    flag = settings.get("add_bos_token")
    if isinstance(flag, bool):
        return flag
    processor = document.get("post_processor") or {}
    parts = processor.get("processors", [processor])
    return any(p.get("type") == "TemplateProcessing" and p.get("single", [{}])[0].get("SpecialToken", {}).get("id") == bos for p in parts)
