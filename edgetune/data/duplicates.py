"""Rows that a dataset holds more than once: word for word, or nearly.

A row is remembered as 72 bytes: a 64-bit digest of its text and a MinHash signature of its pairs of neighbouring words. `digest` and
`signatures` run where the rows are read; `groups` and `shared` need nothing but their results, and about 50 bytes a row while they run.

Two texts' signatures agree in a place with the chance that their sets of word pairs overlap by (Jaccard; Broder 1997, "On the
resemblance and containment of documents"). One byte of every minimum is kept, so that places agree by accident too, with chance 1/256
(b-bit minwise hashing: Li and König 2010). Places are taken four at a time: rows that agree in one such band are compared, others never
are (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4). With 5 % of the words changed, a text shares about 0.82
of its word pairs with its copy and meets it in a band with a chance above 0.9999.

Short texts tell little: "What is 2+3?" and "What is 2+4?" share most of their words and are two rows. Under MIN_WORDS words only the exact
comparison counts; under NUMBER_SENSITIVE_WORDS words, near ones must have the same numbers in the same order, because there a changed
number is another question and not a copy.
"""

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

SIGNATURE_BYTES = 64
"""Minima in a signature, a byte each."""
BANDS = SIGNATURE_BYTES // 4
NEAR_OVERLAP = 0.7
"""Estimated overlap of word pairs from which two texts are near duplicates: up to about one word in twelve changed."""
MIN_WORDS = 8
NUMBER_SENSITIVE_WORDS = 30
MAX_SIGNED_CHARACTERS = 50_000
"""Characters of a text that its signature is made of; a book's beginning tells it from others."""
WINDOW = 8
"""Rows of one bucket are compared with so many of their neighbours, not all with all: ten thousand rows of one template cost
80,000 comparisons, and still come together, as links of a chain."""
SEED = 1

_SPACES = bytes(c if c > 127 or chr(c).isalnum() else 32 for c in range(256))
_PUNCTUATION = re.compile("[\x80-\xbf\u2000-\u206f\u3000-\u303f\ufe30-\ufe4f\uff00-\uff0f\uff1a-\uff20\uff61-\uff65]+")
_UNSPACED = re.compile("([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff])")


def digest(text: str) -> int:
    """64 bits (XXH3) that two texts share when they differ only in case and white space."""
    from xxhash import xxh3_64_intdigest

    return xxh3_64_intdigest(" ".join(text.casefold().split()).encode("utf-8", "surrogatepass"))


def split_words(text: str) -> list[bytes]:
    """A text's words without case and punctuation; every character is a word in scripts that put no spaces between them."""
    text = text.casefold()
    if not text.isascii():
        text = _UNSPACED.sub(r" \1 ", _PUNCTUATION.sub(" ", text))
    return text.encode("utf-8", "surrogatepass").translate(_SPACES).split()


def _shingles(text: str) -> list[bytes]:
    """Pairs of neighbouring words; none for a text too short, and with the text's numbers in each for a rather short one."""
    words = split_words(text[:MAX_SIGNED_CHARACTERS])
    if len(words) < MIN_WORDS:
        return []

    pairs = list(map(b" ".join, pairwise(words)))
    if len(words) < NUMBER_SENSITIVE_WORDS:
        numbers = b" ".join(w for w in words if not w.isalpha() and any(48 <= c <= 57 for c in w))
        pairs = [numbers + b" " + pair for pair in pairs] if numbers else pairs
    return pairs


def signatures(texts: Sequence[str]) -> "np.ndarray":
    """MinHash signatures, uint8 [texts, SIGNATURE_BYTES], the same in every process and run; all zero for texts too short for one."""
    import numpy as np
    from rensa import RMinHash

    sets = [_shingles(text) for text in texts]
    matrix = RMinHash.digest_matrix_from_token_byte_sets(sets, SIGNATURE_BYTES, SEED).to_rows()
    signed = np.array(matrix, dtype=np.uint32).reshape(len(sets), SIGNATURE_BYTES).astype(np.uint8)
    signed[[not pairs for pairs in sets]] = 0
    return signed


def groups(digests: "Sequence[int] | np.ndarray", signed: "np.ndarray") -> tuple[list[list[int]], list[list[int]]]:
    """Row numbers of exact duplicates, and of near ones.

    Exact groups hold every row of one text, in order. Near groups hold only the first row of each text, so that the two kinds never
    count a row twice; they are chains, in which the ends may be less alike than the links. signed: uint8 [rows, SIGNATURE_BYTES].
    """
    import numpy as np

    digests = np.asarray(digests, dtype=np.uint64)
    order = np.argsort(digests, kind="stable")
    exact, firsts = _runs(order, digests[order])
    firsts.sort()

    # Only the first row of each text is compared further, so that the two kinds never count a row twice.
    rows = firsts[signed.max(axis=1)[firsts] > 0].astype(np.int32)
    del order, firsts

    # Rows that share a band are compared with their neighbours and united where they are alike.
    root = np.arange(len(rows), dtype=np.int32)
    for band in range(BANDS):
        keys = _keys(signed, rows, band)
        order = np.argsort(keys).astype(np.int32)
        keys = (keys[order] >> 32).astype(np.uint32)
        for step in range(1, WINDOW + 1):
            at = np.flatnonzero(keys[step:] == keys[:-step])
            if not len(at):
                break
            left, right = order[at], order[at + step]
            apart = root[left] != root[right]
            left, right = left[apart], right[apart]
            alike = close_enough(signed, rows[left], signed, rows[right])
            root = _unite(root, left[alike], right[alike])

    # Rows with one root are one group.
    order = np.argsort(root, kind="stable")
    near, _ = _runs(rows[order], root[order])
    return sorted(exact), sorted(near)


def shared(
    digests: "Sequence[int] | np.ndarray", signed: "np.ndarray", held_digests: "Sequence[int] | np.ndarray", held_signed: "np.ndarray"
) -> tuple[dict[int, int], dict[int, int]]:
    """Held-out rows that training sees too: held-out row → a training row with the same text, and → one with nearly the same."""
    import numpy as np

    digests, held_digests = np.asarray(digests, dtype=np.uint64), np.asarray(held_digests, dtype=np.uint64)
    if not len(digests) or not len(held_digests):
        return {}, {}

    # Equal texts have equal digests.
    order = np.argsort(digests, kind="stable")
    at = order[np.minimum(np.searchsorted(digests, held_digests, sorter=order), len(order) - 1)]
    same = np.flatnonzero(digests[at] == held_digests)
    exact = dict(zip(same.tolist(), at[same].tolist(), strict=True))

    # What has no equal meets training rows band by band, until it finds a near one.
    partner = np.full(len(held_digests), -1, dtype=np.int64)
    rows = np.flatnonzero(signed.max(axis=1))
    waiting = np.setdiff1d(np.flatnonzero(held_signed.max(axis=1)), same)
    for band in range(BANDS if len(rows) else 0):
        keys = _keys(signed, rows, band)
        order = np.argsort(keys)
        keys = keys[order]

        for step in range(-WINDOW // 2, WINDOW // 2):
            waiting = waiting[partner[waiting] < 0]
            held_keys = _keys(held_signed, waiting, band)
            near = np.clip(np.searchsorted(keys, held_keys) + step, 0, len(keys) - 1)
            meet = keys[near] >> 32 == held_keys >> 32
            ours, theirs = waiting[meet], rows[order[near[meet]]]
            alike = close_enough(held_signed, ours, signed, theirs)
            partner[ours[alike]] = theirs[alike]

    near_duplicates = np.flatnonzero(partner >= 0)
    return exact, dict(zip(near_duplicates.tolist(), partner[near_duplicates].tolist(), strict=True))


def overlap(left: "np.ndarray", right: "np.ndarray") -> "np.ndarray":
    """The estimated Jaccard overlap of signatures, pair by pair: [pairs, SIGNATURE_BYTES] twice → [pairs]."""
    by_chance = 1 / 256
    return ((left == right).mean(axis=-1) - by_chance) / (1 - by_chance)


def _keys(signed: "np.ndarray", rows: "np.ndarray", band: int) -> "np.ndarray":
    """What rows are sorted by: the band above, the next band below, so that within a bucket the likeliest copies are neighbours."""
    import numpy as np

    bands = np.ascontiguousarray(signed).view(np.uint32)
    return (bands[rows, band].astype(np.uint64) << np.uint64(32)) | bands[rows, (band + 1) % BANDS]


def close_enough(signed: "np.ndarray", rows: "np.ndarray", other_signed: "np.ndarray", other_rows: "np.ndarray") -> "np.ndarray":
    """Which pairs are near duplicates: a mask over `rows` beside `their`, compared a slice at a time."""
    import numpy as np

    masks = [
        overlap(signed[rows[i : i + 65536]], other_signed[other_rows[i : i + 65536]]) >= NEAR_OVERLAP for i in range(0, len(rows), 65536)
    ]
    return np.concatenate(masks) if masks else np.zeros(0, dtype=bool)


def _unite(root: "np.ndarray", left: "np.ndarray", right: "np.ndarray") -> "np.ndarray":
    """Connected components: every row's root is the smallest row it is linked to (Shiloach and Vishkin 1982)."""
    import numpy as np

    while len(left):
        ours, theirs = root[left], root[right]
        apart = ours != theirs
        left, right, ours, theirs = left[apart], right[apart], ours[apart], theirs[apart]
        np.minimum.at(root, np.maximum(ours, theirs), np.minimum(ours, theirs))
        while True:
            higher = root[root]
            if np.array_equal(higher, root):
                break
            root = higher
    return root


def _runs(order: "np.ndarray", labels: "np.ndarray") -> tuple[list[list[int]], "np.ndarray"]:
    """From rows sorted by label: the groups of two and more, and the first row of every label."""
    import numpy as np

    if not len(order):
        return [], order
    new = np.concatenate(([True], labels[1:] != labels[:-1], [True]))
    starts = np.flatnonzero(new[:-1] & ~new[1:])
    ends = np.flatnonzero(~new[:-1] & new[1:]) + 1
    return [order[a:b].tolist() for a, b in zip(starts, ends, strict=True)], order[new[:-1]]
