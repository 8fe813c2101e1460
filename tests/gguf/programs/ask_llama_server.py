"""Asks GGUF files through llama-server, run in this process by xllamacpp and spoken to over HTTP: JSON on stdin, JSON on stdout.

In: [{"gguf": path, "arguments": [llama-server's own, ...], "conversations": [[message, ...], ...], "limit": tokens}, ...]. Out: for each
file the answers, each with the prompt's ids, the text, and why it ended. Without arguments the server has its defaults.
"""

import json
import os
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTINGS: dict[str, Callable[[Any, str], None]] = {
    "--model": lambda params, value: setattr(params.model, "path", value),
    "--alias": lambda params, value: setattr(params, "model_alias", {value}),
    "--chat-template-file": lambda params, value: setattr(params, "chat_template", Path(value).read_text(encoding="utf-8")),
    "--ctx-size": lambda params, value: setattr(params, "n_ctx", int(value)),
    "--temp": lambda params, value: setattr(params.sampling, "temp", float(value)),
    "--top-k": lambda params, value: setattr(params.sampling, "top_k", int(value)),
    "--top-p": lambda params, value: setattr(params.sampling, "top_p", float(value)),
    "--min-p": lambda params, value: setattr(params.sampling, "min_p", float(value)),
    "--repeat-penalty": lambda params, value: setattr(params.sampling, "penalty_repeat", float(value)),
    "--reverse-prompt": lambda params, value: setattr(params, "antiprompt", [*params.antiprompt, value.encode().decode("unicode_escape")]),
    "--host": lambda params, value: setattr(params, "hostnames", [value]),
    "--port": lambda params, value: None,  # any that is free
}
"""What an argument of llama-server sets (common/arg.cpp of llama.cpp)."""


def start(request: dict[str, Any]) -> Any:
    """The server with a command line's settings."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = request["gguf"]
    params.n_ctx, params.n_parallel, params.warmup, params.port = 512, 1, False, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    words = iter(request.get("arguments", []))
    for word in words:
        if word == "--jinja":
            params.use_jinja = True
        else:
            SETTINGS[word](params, next(words))
    return xllamacpp.Server(params)


def post(address: str, path: str, **body: Any) -> Any:
    """Ask the server."""
    request = urllib.request.Request(f"{address}/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def answers(request: dict[str, Any]) -> list[dict[str, Any]]:
    """What one file answers, greedily."""
    server = start(request)
    address = server.listening_address
    result = []
    for messages in request["conversations"]:
        prompt = post(address, "apply-template", messages=messages)["prompt"]
        ids = post(address, "tokenize", content=prompt, add_special=True, parse_special=True)["tokens"]
        reply = post(address, "v1/chat/completions", messages=messages, max_tokens=request["limit"], temperature=0)
        assert reply["usage"]["prompt_tokens"] == len(ids), "another prompt was evaluated"
        choice = reply["choices"][0]
        result.append({"prompt": ids, "text": choice["message"]["content"], "ended": choice["finish_reason"]})
    return result


if __name__ == "__main__":
    stdout = os.dup(1)
    os.dup2(2, 1)  # what native code prints must not come between
    os.write(stdout, json.dumps([answers(request) for request in json.load(sys.stdin)]).encode())
