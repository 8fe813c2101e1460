"""A proof as one page that a person can read: no script, nothing loaded, every text escaped."""

from functools import cache
from typing import Any

import jinja2

from edgetune.text import one_line

QUESTIONS = {
    "text": ("Text", "Does the file read the same text in the same tokens?"),
    "weights": ("Weights", "Is what was learned in every tensor, and is every tensor within what its type costs?"),
    "meaning": ("Meaning", "Does llama.cpp compute from the file what the weights in it say?"),
    "behaviour": ("Behaviour", "Does the file answer as the trained model does?"),
}
WORDS = {
    "conversations": "conversations rendered",
    "strings": "texts tokenized",
    "templates_differ": "renderings that differ",
    "ids_differ": "texts whose token ids differ",
    "bos_extra": "texts with a BOS too many",
    "bos_missing": "texts with a BOS too few",
    "eos_added": "texts ended with an EOS that training did not have",
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
    "kl_base": "the base's own, quantized the same way",
    "top1": "share of equal most likely tokens",
    "tokens": "tokens compared",
    "answer_tokens": "answer tokens compared",
    "perplexity": "perplexity of the trained model",
    "perplexity_file": "perplexity of the file",
    "slope": "share of the learned change that shows in the answers",
    "slope_error": "its standard error",
    "r2": "how much of the file's change it explains (R²)",
    "residual": "variance left over",
    "residual_base": "the base's own, quantized the same way",
}
"""Figures in words."""

SOURCE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Proof of {{ proof.file }}</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 46rem; padding: 0 1rem; color: #1c2430; background: #fff }
h1 { font-size: 1.5rem; margin-bottom: .2rem; overflow-wrap: anywhere } h2 { font-size: 1.1rem; margin: 2rem 0 .2rem }
table { border-collapse: collapse; width: 100%; margin-top: .5rem } td, th { padding: .25rem .5rem .25rem 0; text-align: left; vertical-align: top }
td + td, th + th { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums } tr { border-top: 1px solid #8884 }
.yes { color: #0b6b33 } .no { color: #b3261e } .quiet { color: #5a6472 } li { overflow-wrap: anywhere }
@media (prefers-color-scheme: dark) { body { color: #e6e9ee; background: #14181f } .yes { color: #6fd08c } .no { color: #ff8a80 } .quiet { color: #9aa4b2 } }
</style></head><body>
<h1>Proof of {{ proof.file }}</h1>
{% if proof.passed %}<p class="yes"><strong>Passed:</strong> this file is what was trained, as far as its type {{ proof.type }} can hold it.</p>
{% else %}<p class="no"><strong>Failed:</strong> do not use this file.</p>
<ul>{% for cause in proof.causes %}<li>{{ cause }}</li>{% endfor %}</ul>{% endif %}
<p class="quiet">Measured on {{ proof.measured_on.tokens }} tokens ({{ proof.measured_on.source }}, {{ proof.measured_on.held_out_tokens }} of
them held out from training; the others are general text) in {{ proof.seconds }} s.</p>
{% for name, (title, question) in questions.items() %}
<h2>{{ title }}{% if name in proof.checks %}: <span class="{{ 'yes' if proof.checks[name].passed else 'no' }}">{{
  'passed' if proof.checks[name].passed else 'failed' }}</span>{% else %}: not reached{% endif %}</h2>
<p class="quiet">{{ question }}</p>
{% if name in proof.checks %}<table>{% for key, value in proof.checks[name].figures.items() if key in words %}
<tr><td>{{ words[key] }}</td><td>{{ shown(value) }}{% if key in proof.checks[name].limits
%} <span class="quiet">(limit {{ shown(proof.checks[name].limits[key]) }})</span>{% endif %}</td></tr>{% endfor %}</table>
{% for note in proof.checks[name].notes %}<p class="quiet">{{ note }}</p>{% endfor %}{% endif %}
{% endfor %}
{% if proof.sha256 %}<p class="quiet">sha256 {{ proof.sha256 }}</p>{% endif %}
</body></html>
"""


def shown(value: Any) -> str:
    """A figure as people write it."""
    if isinstance(value, list):
        return " to ".join(shown(one) for one in value)
    if isinstance(value, float):
        return f"{value:.3f}" if 0.01 <= abs(value) < 1000 else f"{value:.2g}"
    return "-" if value is None else one_line(str(value), 80)


@cache
def _template() -> jinja2.Template:
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(SOURCE)


def html(proof: dict[str, Any]) -> str:
    """The page for a proof as proof.json holds it (`certificate.as_dict`)."""
    safe = {**proof, "file": one_line(proof["file"], 200), "causes": [one_line(cause, 400) for cause in proof["causes"]], "sha256": proof.get("sha256")}
    return _template().render(proof=safe, questions=QUESTIONS, words=WORDS, shown=shown)
