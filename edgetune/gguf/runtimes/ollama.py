"""Ollama: a Modelfile beside the GGUF.

Facts of Ollama used here (its docs/modelfile.md, parser/parser.go and template/template.go): templates are Go's text/template with
.Messages, .System, .Tools, .Think and more; neighbouring messages of one role are joined first; the tokenizer puts BOS in front by the
GGUF's own flag; a value in triple quotes is used as it is, in single ones without escapes; characters that do not print are dropped.
"""

import re

from edgetune.errors import InputError
from edgetune.gguf.runtimes.go.reference import Reference
from edgetune.gguf.runtimes.go.template import go_template
from edgetune.gguf.runtimes.product import Layout, Product

TITLE = "Ollama"


def layout(product: Product, file_name: str) -> Layout:
    """A Modelfile, its template compared with the chat template first. Raises InputError where the two would differ."""
    template, verdict = go_template(Reference(product.template, product.tokenizer.adds_bos))
    limits = [f"a conversation is refused where {refusal[0].lower()}{refusal[1:]}" for refusal in verdict.refused]
    if product.tools:
        limits.append("tool calls are left out: Ollama writes a tool as other JSON text than this chat template does")
    notes = [f"the prompt template gave the same text as the chat template for {verdict.compared} conversations", *limits]
    name = re.sub(r"[^a-z0-9._-]+", "-", product.name.lower()).strip("-._") or "model"
    return Layout(
        file_name, {"Modelfile": _modelfile(product, file_name, template, verdict.compared, limits), "README.txt": _readme(name)}, notes
    )


def _modelfile(product: Product, file_name: str, template: str, compared: int, limits: list[str]) -> str:
    sampling = product.sampling
    comments = [
        f"{product.name}, for Ollama. In this folder: ollama create NAME -f Modelfile",
        f"The template below gave the same text as the model's chat template for {compared} conversations.",
        "BOS is not in it: the tokenizer adds it." if product.tokenizer.adds_bos and product.template.bos_token else "",
        f"The date in it, {product.template.date}, is the one the model was prepared with." if product.dated else "",
        "Ollama joins neighboring messages of one role before the template sees them.",
        *(limit[0].upper() + limit[1:] + "." for limit in limits),
    ]
    window = f"# The model accepts {product.context} tokens; more context needs more memory.\n" if product.context > product.window else ""
    numbers = {
        "num_ctx": product.window,
        "temperature": sampling.temperature,
        "top_k": sampling.top_k,
        "top_p": sampling.top_p,
        "min_p": sampling.min_p,
        "repeat_penalty": sampling.repeat_penalty,
    }
    return "\n".join(
        [
            *(f"# {' '.join(text.split())}" for text in comments if text),
            f"FROM ./{file_name}",
            "",
            f'TEMPLATE """{template}"""',
            "",
            window + "\n".join(f"PARAMETER {name} {value}" for name, value in numbers.items()),
            *(f"PARAMETER stop {_quoted(stop)}" for stop in product.stops),
            "",
        ]
    )


def _quoted(text: str) -> str:
    """A value of the Modelfile, which knows no escapes."""
    if '"""' in text or text.endswith('"') or not all(c == "\n" or c.isprintable() for c in text):
        raise InputError(
            "Ollama cannot be given this model's stop words",
            f"A Modelfile cannot hold {text!r}.",
            "Export with --for llama-server or --for lmstudio.",
        )
    return f'"""{text}"""' if "\n" in text or '"' in text else f'"{text}"'


def _readme(name: str) -> str:
    return f"""This folder is for Ollama. In it:

    ollama create {name} -f Modelfile
    ollama run {name}

Ollama copies the model into its own store; afterwards you can delete this folder. To stop a model that can think from
doing so, type /set nothink in `ollama run`, or send "think": false.
"""
