"""A proof as one page that a person can read: no script, nothing loaded, every text escaped."""

from functools import cache
from pathlib import Path
from typing import Any

import jinja2

from edgetune.text import one_line

QUESTIONS = {
    "text": ("Text", "Does the file read the same text in the same tokens?"),
    "weights": ("Weights", "Is what was learned in every tensor, and is every tensor within what its type costs?"),
    "meaning": ("Meaning", "Does llama.cpp compute from the file what the weights in it say?"),
    "behaviour": ("Behavior", "Does the file answer as the trained model does?"),
}
FIGURE_LABELS = {
    "conversations": "conversations rendered",
    "strings": "texts tokenized",
    "templates_differ": "renderings that differ",
    "ids_differ": "texts whose token ids differ",
    "bos_extra": "texts with a BOS too many",
    "bos_missing": "texts with a BOS too few",
    "eos_added": "texts ended with an EOS that training did not have",
    "stops_missed": "tokens that end answers, at which llama.cpp does not stop",
    "tokens_differ": "vocabulary entries that differ",
    "tensors": "tensors read back",
    "error_worst": "largest error of a tensor, in units of what its type costs",
    "error_row_worst": "largest error of a row, in the same units",
    "tensors_learned": "tensors that the training changed",
    "strength": "share of the learned change that the file holds",
    "strength_error": "its standard error",
    "strength_least": "smallest share in one tensor",
    "strength_most": "largest share in one tensor",
    "tensors_too_coarse": "tensors whose rounding hides most of their own change",
    "kl_mean": "mean KL divergence of next-token predictions (nats)",
    "kl_99": "its 99th percentile",
    "kl_rounding": "what llama.cpp's rounding of activations makes of it, measured in torch on the same weights",
    "kl_base": "the base's own, quantized the same way",
    "noise": "distance to the trained model, as a share of what training changed",
    "kl_trained": "mean KL divergence from the model on the 4-bit base it was trained on",
    "kl_four_bit": "of which the 4-bit base itself makes",
    "top1": "share of equal most likely tokens",
    "tokens": "tokens compared",
    "answer_tokens": "answer tokens compared",
    "perplexity": "perplexity of the trained model",
    "perplexity_file": "perplexity of the file",
    "slope": "share of the learned change that shows in the answers",
    "slope_error": "its standard error",
    "r2": "how much of the file's change it explains (R²)",
    "residual": "variance left over",
    "residual_error": "its standard error",
    "residual_base": "the base's own, quantized the same way",
}
"""What each figure is, in words."""


def format_figure(value: Any) -> str:
    """A figure as people write it."""
    if isinstance(value, list):
        return " to ".join(format_figure(end) for end in value)
    if isinstance(value, float):
        return f"{value:.3f}" if 0.01 <= abs(value) < 1000 else f"{value:.2g}"
    return "-" if value is None else one_line(str(value), 80)


@cache
def _template() -> jinja2.Template:
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(
        Path(__file__).with_name("page.html.jinja").read_text(encoding="utf-8")
    )


def proof_page(proof: dict[str, Any]) -> str:
    """The page for a proof as proof.json holds it (`certificate.as_dict`)."""
    causes = [one_line(cause, 400) for cause in proof["causes"]]
    safe = {**proof, "file": one_line(proof["file"], 200), "causes": causes, "sha256": proof.get("sha256")}
    return _template().render(proof=safe, questions=QUESTIONS, labels=FIGURE_LABELS, format_figure=format_figure)
