"""What surrounds each turn in a chat template. `derive` finds it, `emit` writes it as Go, and `verify` compares that with Jinja."""

from dataclasses import dataclass

from edgetune.gguf.runtimes.go.forms import KEEP, Form


class Unmatched(Exception):
    """The template does something that the shape cannot say; the message says what."""


@dataclass(frozen=True)
class Turn:
    """Texts before and behind a message, and how its own text is stripped.

    cut: only what follows the last of this mark counts (thinking that is not shown again), stripped as `cut_form` says. guards: texts
    whose presence the template gives another meaning. thinking: what surrounds the message's thinking, where it is written, and how
    that is stripped; `before` does not count then. optional: with no text, the message is left out; ignored: it always is.
    """

    before: str = ""
    after: str = ""
    form: Form = KEEP
    cut: str = ""
    cut_form: Form = KEEP
    guards: tuple[str, ...] = ()
    thinking: tuple[str, str, Form] | None = None
    optional: bool = False
    ignored: bool = False


@dataclass(frozen=True)
class System:
    """A system message at the beginning. position: "front", "last" (in the last question) or "ignored".

    empty: False where an empty one counts as none. switches: texts in it that turn thinking off (True) or on, the first one wins; they
    are left out. guards: as in Turn.
    """

    position: str
    before: str = ""
    after: str = ""
    form: Form = KEEP
    empty: bool = True
    switches: tuple[tuple[str, bool], ...] = ()
    guards: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shape:
    """A chat template as texts around turns.

    head: at the beginning, where there is no system message. joined: head and system carry what is before the first turn. generation:
    where the assistant begins to write. open: an answer that is begun. middle: a later system message, None where that is refused.
    wrapped: pairs of texts; a question between them is not
    treated as one. answer_first: an answer may be the first message.
    """

    head: str
    joined: bool
    generation: str
    user: Turn
    assistant: Turn
    open: Turn
    system: System | None
    middle: Turn | None
    wrapped: tuple[tuple[str, str], ...] = ()
    answer_first: bool = True
