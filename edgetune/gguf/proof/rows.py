"""The rows a proof compares on: held-out rows of the user's data, general text, and random token ids."""

import random
from dataclasses import dataclass
from pathlib import Path

from edgetune.bases.tokenizer import BaseTokenizer
from edgetune.data.labels import IGNORE_INDEX
from edgetune.gguf.proof.text import AWKWARD_TEXTS, GENERAL_TEXTS, Conversation

MAX_HELD_OUT_TOKENS = 2048
"""Most held-out tokens compared: enough for a mean, and a small part of the training time."""
MAX_LOG_PROBS = 2**26
"""Most log-probabilities held of one model (tokens times vocabulary, 4 bytes each): large vocabularies compare fewer tokens."""
MAX_ROW_TOKENS = 512
"""A row is cut to so many tokens."""
GENERAL_TOKENS, RANDOM_TOKENS = 256, 96
"""Tokens of general text, and of random ids, on which a model follows no habit that hides a mistake."""
MAX_CONVERSATIONS = 50
"""Held-out conversations whose text is compared."""


@dataclass(frozen=True)
class ProofRow:
    """Token ids with labels (IGNORE_INDEX where not trained); held_out: a row of the user's data."""

    ids: list[int]
    labels: list[int]
    held_out: bool


@dataclass(frozen=True)
class ProofSample:
    """What a proof is measured on. conversations, texts: the held-out rows in words. source: where they come from, in words."""

    rows: list[ProofRow]
    conversations: list[Conversation]
    texts: list[str]
    source: str

    @property
    def held_out(self) -> list[ProofRow]:
        """The user's rows; where there are none, the general ones."""
        return [row for row in self.rows if row.held_out] or self.rows

    @property
    def tokens(self) -> int:
        """Tokens compared."""
        return sum(len(row.ids) for row in self.rows)


def draw_sample(
    data: Path | None, tokenizer: BaseTokenizer, length: int, vocabulary: int, tokens: int = MAX_HELD_OUT_TOKENS
) -> ProofSample:
    """Choose the rows. data: held-out examples, or None. length: the model's context. vocabulary: its tokens. tokens: most to compare.

    The choice is the same every time.
    """
    from edgetune.data import prepare

    limit = max(64, min(tokens, MAX_LOG_PROBS // vocabulary - GENERAL_TOKENS - RANDOM_TOKENS))
    rows: list[ProofRow] = []
    conversations: list[Conversation] = []
    texts: list[str] = []
    if data is not None:
        held_out = prepare.evaluation_set(data, tokenizer, length).rows
        random.Random(0).shuffle(held_out)

        # Rows until the tokens are used up, each cut where it is long, so that many rows have a say.
        used = 0
        for row in held_out:
            cut = min(len(row.ids), MAX_ROW_TOKENS, limit - used)
            if cut > 1:
                rows.append(ProofRow(row.ids[:cut], row.labels[:cut], True))
                used += cut

        for row in held_out[:MAX_CONVERSATIONS]:
            if row.example.messages:
                conversations.append((row.example.messages, row.example.tools))
            elif row.example.text:
                texts.append(row.example.text)

    # General text and random ids beside them: a mistake that the user's own rows do not touch must show too.
    general = [tokenizer.encode(text) for text in (*GENERAL_TEXTS, "".join(AWKWARD_TEXTS))]
    general_length = max(2, min(GENERAL_TOKENS // len(general), length))
    rows += [ProofRow(ids[:general_length], ids[:general_length], False) for ids in general]
    random_ids = random.Random(1).choices(range(min(vocabulary, tokenizer.inner.get_vocab_size())), k=min(RANDOM_TOKENS, length))
    rows.append(ProofRow(random_ids, [IGNORE_INDEX] * len(random_ids), False))
    return ProofSample(rows, conversations, texts, "held-out rows" if data is not None else "general text")
