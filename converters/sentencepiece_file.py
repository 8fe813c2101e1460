"""Pieces of a SentencePiece `tokenizer.model`, read and written without the library (a protocol buffer; sentencepiece_model.proto)."""

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from converters.errors import ConversionError

MAX_BYTES = 64 * 2**20


class Piece(NamedTuple):
    """A piece, its log-probability (or minus its merge rank), and its type; the type numbers are also GGUF's token types."""

    text: str
    score: float
    type: int


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(data, position)
            yield number, value
            continue

        if wire == 2:
            size, position = _varint(data, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")

        if size > len(data) - position:
            raise ValueError("a field passes the end")
        yield number, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise ValueError("a number passes the end")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number has more than ten bytes")


def _piece(data: bytes) -> Piece:
    text = ""
    score = 0.0
    kind = 1
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            text = value.decode("utf-8")
        elif number == 2 and isinstance(value, bytes) and len(value) == 4:
            score = struct.unpack("<f", value)[0]
        elif number == 3 and isinstance(value, int):
            kind = value
    if not 1 <= kind <= 6 or not math.isfinite(score):
        raise ValueError(f"piece {text!r} has type {kind} and score {score}")
    return Piece(text, score, kind)


def read_pieces(path: Path) -> list[Piece]:
    """All pieces by id. Raises ConversionError where the file is no SentencePiece model."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError("too large")
        pieces = [_piece(value) for number, value in _fields(path.read_bytes()) if number == 1 and isinstance(value, bytes)]
    except (OSError, ValueError) as error:
        raise ConversionError(
            f"{path.name} cannot be read", f"It is not a SentencePiece model: {error}.", "Download the file again."
        ) from error
    if not pieces:
        raise ConversionError(f"{path.name} cannot be read", "It contains no pieces.", "Download the file again.")
    return pieces


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def _sized(field: int, data: bytes) -> bytes:
    return bytes([field << 3 | 2]) + _number(len(data)) + data


def write_pieces(pieces: list[Piece], space_prefix: bool) -> bytes:
    """A model of these pieces: BPE with byte fallback and no normalization.

    space_prefix: whether a text gets a space in front.
    """
    parts = [
        _sized(1, _sized(1, piece.text.encode()) + b"\x15" + struct.pack("<f", piece.score) + b"\x18" + _number(piece.type))
        for piece in pieces
    ]
    trainer = b"\x18\x02" + b"\x98\x02\x01"  # model_type = BPE, byte_fallback = true
    spaces = b"\x18" + _number(space_prefix) + b"\x20\x00\x28\x01"  # add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces
    normalizer = _sized(1, b"identity") + spaces
    return b"".join([*parts, _sized(2, trainer), _sized(3, normalizer)])
