"""A GGUF loaded by llama.cpp through its low-level bindings: what it says of itself, and its vocabulary.

Lives only in the llama.cpp process.
"""

import ctypes
import os
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from edgetune.errors import EdgeTuneError, InputError

UNKNOWN, CONTROL, USER_DEFINED, LSTRIP, RSTRIP = 1, 8, 16, 128, 256
"""llama_token_attr bits (llama.h)."""
SPM = 1
"""llama_vocab_type of SentencePiece vocabularies (llama.h)."""
WARNING, ERROR = 3, 4
"""ggml_log_level (ggml.h)."""


class NativeLog:
    """llama.cpp's warnings and errors, kept for the day something fails; its chatter is dropped."""

    def __init__(self, lib: Any) -> None:
        self._lines: deque[str] = deque(maxlen=40)
        # ctypes keeps no reference to a callback: this attribute does.
        self._callback = lib.llama_log_callback(self._add)
        lib.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _add(self, level: int, text: bytes, _data: Any) -> None:
        if level in (WARNING, ERROR):
            self._lines.append(text.decode("utf-8", "replace").strip())

    def tail(self) -> str:
        """The last lines as one."""
        return " ".join(line for line in list(self._lines)[-4:] if line) or "llama.cpp gave no reason."


class NativeModel:
    """The weights and the vocabulary of a file.

    path: the GGUF. n_gpu_layers: layers on the GPU, -1 for all. Raises EdgeTuneError when llama.cpp refuses the file.
    """

    def __init__(self, path: Path, n_gpu_layers: int) -> None:
        import llama_cpp.llama_cpp as lib

        self.lib: Any = lib
        self.path, self.log = path, NativeLog(lib)
        lib.llama_backend_init()
        params = lib.llama_model_default_params()
        params.n_gpu_layers = n_gpu_layers
        self.handle = lib.llama_model_load_from_file(os.fsencode(path), params)
        if not self.handle:
            raise EdgeTuneError(
                f"llama.cpp cannot load {path.name}",
                self.log.tail(),
                "Check that the file is whole and is a language model; export it again, or update EdgeTune if it is newer.",
            )
        if not lib.llama_model_has_decoder(self.handle):
            raise InputError(f"{path.name} cannot chat", "The model only encodes text; it writes none.", "Use a model that writes text.")
        self.vocab = lib.llama_model_get_vocab(self.handle)
        self.n_vocab = int(lib.llama_vocab_n_tokens(self.vocab))
        self.n_ctx_train = int(lib.llama_model_n_ctx_train(self.handle))
        self.n_params = int(lib.llama_model_n_params(self.handle))
        self.eog = frozenset(token for token in range(self.n_vocab) if lib.llama_vocab_is_eog(self.vocab, token))
        self._pieces: dict[int, bytes] = {}

    def metadata(self) -> dict[str, str]:
        """The file's metadata under general.*, tokenizer.ggml.* and edgetune.*, as text (lists apart)."""
        metadata = {}
        for index in range(self.lib.llama_model_meta_count(self.handle)):
            key = _text(partial(self.lib.llama_model_meta_key_by_index, self.handle, index))
            if key.startswith(("general.", "edgetune.", "tokenizer.ggml.")):
                metadata[key] = _text(partial(self.lib.llama_model_meta_val_str_by_index, self.handle, index))
        return metadata

    def info(self) -> dict[str, Any]:
        """What the client needs to know of the file; with the context's part, the fields of `engine.ModelInfo`."""
        lib, metadata = self.lib, self.metadata()
        template = lib.llama_model_chat_template(self.handle, None)
        bos, eos = self._special(lib.llama_vocab_bos(self.vocab)), self._special(lib.llama_vocab_eos(self.vocab))
        return {
            "description": _text(partial(lib.llama_model_desc, self.handle)),
            "n_params": self.n_params,
            "size": int(lib.llama_model_size(self.handle)),
            "n_vocab": self.n_vocab,
            "n_ctx_train": self.n_ctx_train,
            "bos": bos[0],
            "bos_text": bos[1],
            "eos": eos[0],
            "eos_text": eos[1],
            "add_bos": bool(lib.llama_vocab_get_add_bos(self.vocab)),
            "eog": sorted(self.eog),
            "space_prefix": lib.llama_vocab_type(self.vocab) == SPM and metadata.get("tokenizer.ggml.add_space_prefix", "true") != "false",
            "template": template.decode("utf-8", "replace") if template else None,
            "metadata": {key: value for key, value in metadata.items() if not key.startswith("tokenizer.")},
            **self._matched_whole(),
        }

    def _matched_whole(self) -> dict[str, Any]:
        """The tokens that are found before a text is split: control tokens, and others."""
        marks: dict[str, tuple[int, bool, bool]] = {}
        added = []
        for token in range(self.n_vocab):
            attribute = int(self.lib.llama_vocab_get_attr(self.vocab, token))
            if attribute & (CONTROL | UNKNOWN | USER_DEFINED):
                text = self._special(token)[1]
                if attribute & (CONTROL | UNKNOWN):
                    marks[text] = (token, bool(attribute & LSTRIP), bool(attribute & RSTRIP))
                else:
                    added.append(text)
        return {"marks": marks, "added": added}

    def _special(self, token: int) -> tuple[int | None, str]:
        return (token, self.lib.llama_vocab_get_text(self.vocab, token).decode("utf-8", "replace")) if token >= 0 else (None, "")

    def tokenize(self, text: str, parse_special: bool, add_special: bool = False) -> list[int]:
        """Token ids of a text; add_special: with what the vocabulary puts in front and behind."""
        data = text.encode("utf-8", "replace")
        size = len(data) + 8
        ids = (ctypes.c_int32 * size)()
        count = self.lib.llama_tokenize(self.vocab, data, len(data), ids, size, add_special, parse_special)
        if count < 0:
            raise EdgeTuneError("llama.cpp could not tokenize the text", f"{len(data)} bytes need {-count} tokens.", "Use a shorter text.")
        return list(ids[:count])

    def piece(self, token: int) -> bytes:
        """The bytes a token writes; nothing for control tokens."""
        known = self._pieces.get(token)
        if known is None:
            known = self._pieces[token] = self._bytes(token, special=False)
        return known

    def _bytes(self, token: int, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(128)
        count = self.lib.llama_token_to_piece(self.vocab, token, buffer, 128, 0, special)
        if count < 0:
            buffer = ctypes.create_string_buffer(-count)
            count = self.lib.llama_token_to_piece(self.vocab, token, buffer, -count, 0, special)
        return buffer.raw[:count]

    def describe(self, tokens: list[int]) -> list[dict[str, Any]]:
        """What each token is: its bytes (as latin-1), whether it is control, user-defined, or ends a generation."""
        self.check_tokens(tokens)
        attributes = [int(self.lib.llama_vocab_get_attr(self.vocab, token)) for token in tokens]
        return [
            {
                "id": token,
                "bytes": self._bytes(token, special=True).decode("latin-1"),
                "control": bool(attribute & CONTROL),
                "user_defined": bool(attribute & USER_DEFINED),
                "eog": token in self.eog,
            }
            for token, attribute in zip(tokens, attributes, strict=True)
        ]

    def check_tokens(self, tokens: list[int]) -> None:
        """Refuse ids that native code would answer with an abort."""
        if not all(isinstance(token, int) and 0 <= token < self.n_vocab for token in tokens):
            raise InputError("A token is not in the vocabulary", f"The model has {self.n_vocab} tokens.", "Tokenize with this model.")


def _text(read: Callable[[Any, int], int]) -> str:
    """A string from a native function that fills a buffer and returns the length it needs, like snprintf."""
    buffer = ctypes.create_string_buffer(256)
    needed = read(buffer, 256)
    if needed >= 256:
        buffer = ctypes.create_string_buffer(needed + 1)
        read(buffer, needed + 1)
    return buffer.value.decode("utf-8", "replace")
