"""LM Studio: its layout of publisher, model and file, and a preset with the settings of chat.

LM Studio runs the chat template in the GGUF and stops at the tokens that the file names; the sampling settings, and texts that end an
answer, are not in it. A system message that the template writes by itself is in the preset, lest one chosen before stays in its place.
The layout is that of its documentation ("Import Models"); the preset's keys are those of its own presets.
"""

import json

from edgetune.gguf.runtimes.product import Layout, Product, with_date_written_out

TITLE = "LM Studio"
PUBLISHER = "edgetune"


def layout(product: Product, file_name: str) -> Layout:
    """PUBLISHER/NAME/FILE, a preset, and what to do with them."""
    texts = {f"{product.name}.preset.json": _preset(product)}
    dated = product.dated and with_date_written_out(product.template)
    if dated:
        texts["chat_template.jinja"] = dated
    texts["README.txt"] = _readme(product, file_name, bool(dated))
    notes = ["the chat template writes today's date; README.txt says how to use the date it was prepared with"] if dated else []
    return Layout(f"{PUBLISHER}/{product.name}/{file_name}", texts, notes)


def _preset(product: Product) -> str:
    sampling = product.sampling
    operation = {
        "llm.prediction.temperature": sampling.temperature,
        "llm.prediction.topKSampling": sampling.top_k,
        "llm.prediction.topPSampling": {"checked": sampling.top_p < 1, "value": sampling.top_p},
        "llm.prediction.minPSampling": {"checked": sampling.min_p > 0, "value": sampling.min_p},
        "llm.prediction.repeatPenalty": {"checked": sampling.repeat_penalty != 1, "value": sampling.repeat_penalty},
        "llm.prediction.stopStrings": product.stops,
    }
    if product.default_system:
        operation["llm.prediction.systemPrompt"] = product.default_system
    document = {
        "identifier": f"@local:{product.name.lower()}",
        "name": product.name,
        "changed": False,
        "operation": {"fields": [{"key": key, "value": value} for key, value in operation.items()]},
        "load": {"fields": [{"key": "llm.load.contextLength", "value": product.window}]},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _readme(product: Product, file_name: str, dated: bool) -> str:
    date = f"""
The chat template writes today's date. The model was prepared with {product.template.date}. To use that date, paste
chat_template.jinja into the model's Prompt Template (My Models, the gear beside the model).
"""
    return f"""This folder is for LM Studio. Copy the folder '{PUBLISHER}' into LM Studio's models folder, ~/.lmstudio/models unless you
changed it (My Models shows which it is), or link it, which takes no disk space:

    lms import --hard-link --user-repo {PUBLISHER}/{product.name} {PUBLISHER}/{product.name}/{file_name}

The chat template and the tokens at which an answer ends are in the file. The preset holds the sampling settings of
`edgetune chat`, the texts at which an answer ends, and a context of {product.window} tokens (the model accepts up to
{product.context}; more needs more memory): copy {product.name}.preset.json into ~/.lmstudio/config-presets, then choose it in
the chat.
{date if dated else ""}"""
