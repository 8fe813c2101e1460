"""From a chat template to a Go template that gives the same texts, or a refusal that says why there is none."""

from edgetune.errors import InputError
from edgetune.gguf.runtimes.go.derive import derive
from edgetune.gguf.runtimes.go.emit import emit
from edgetune.gguf.runtimes.go.reference import Reference
from edgetune.gguf.runtimes.go.shape import Unmatched
from edgetune.gguf.runtimes.go.verify import Difference, Verdict, verify
from edgetune.text import one_line

REMEDY = "Export with --for llama-server or --for lmstudio: both run the chat template as it is."


def go_template(reference: Reference) -> tuple[str, Verdict]:
    """The Go template for a chat template, and on what it was tried. Raises InputError where the two would differ."""
    try:
        source = emit(derive(reference), derive(reference, True) if reference.switch else None)
        verdict = verify(source, reference)
    except Unmatched as reason:
        raise _refusal(f"Its texts cannot be written as Ollama's Go templates: {reason}") from reason
    if verdict.difference is not None:
        raise _refusal(_describe(verdict.difference))
    if not verdict.compared:
        raise _refusal("It allows none of the conversations that it was tried on")
    return source, verdict


def _refusal(cause: str) -> InputError:
    return InputError("Ollama cannot be given this model's chat template", f"{cause}.", REMEDY)


def _describe(difference: Difference) -> str:
    """Where two texts differ, in words."""
    pairs = zip(difference.expected, difference.actual, strict=False)
    at = next((number for number, (a, b) in enumerate(pairs) if a != b), min(len(difference.expected), len(difference.actual)))
    roles = ", ".join(message["role"] for message in difference.messages)
    excerpts = (text[max(0, at - 20) : at + 20] for text in (difference.actual, difference.expected))
    ours, theirs = (repr(one_line(excerpt, 60)) for excerpt in excerpts)
    return f"Ollama's would write {ours} where the chat template writes {theirs} (for a conversation of {roles})"
