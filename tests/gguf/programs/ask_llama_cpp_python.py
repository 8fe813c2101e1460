"""Asks GGUF files through llama-cpp-python's own chat, with no code of EdgeTune's: JSON on stdin, JSON on stdout.

In: [{"gguf": path, "conversations": [[message, ...], ...], "limit": tokens}, ...]. Out: for each file the answers, each with the prompt's
ids, the text, and why it ended.
"""

import json
import os
import sys
from typing import Any


def answers(request: dict[str, Any]) -> list[dict[str, Any]]:
    """What one file answers, greedily and without a penalty on repetition, which is 1.1 by default."""
    from llama_cpp import Llama

    class Watched(Llama):  # type: ignore[misc,unused-ignore]
        """It remembers the ids of its prompt."""

        prompt: list[int]

        def generate(self, tokens: Any, *rest: Any, **named: Any) -> Any:
            """As Llama does."""
            self.prompt = list(tokens)
            return super().generate(tokens, *rest, **named)

    model = Watched(request["gguf"], n_ctx=512, n_threads=1, n_threads_batch=1, verbose=False)
    result = []
    for messages in request["conversations"]:
        reply: Any = model.create_chat_completion(messages, max_tokens=request["limit"], temperature=0, repeat_penalty=1.0)
        choice = reply["choices"][0]
        result.append({"prompt": model.prompt, "text": choice["message"]["content"], "ended": choice["finish_reason"]})
    model.close()
    return result


if __name__ == "__main__":
    stdout = os.dup(1)
    os.dup2(2, 1)  # what native code prints must not come between
    os.write(stdout, json.dumps([answers(request) for request in json.load(sys.stdin)]).encode())
