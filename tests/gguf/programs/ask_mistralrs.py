"""Asks GGUF files through mistral.rs: JSON on stdin, JSON on stdout.

In: [{"gguf": path, "conversations": [[message, ...], ...], "prompts": [text, ...], "limit": tokens}, ...]. Out: for each file the answers,
each with the ids of the prompt's text, the answer's text, and why it ended.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any


def answers(request: dict[str, Any]) -> list[dict[str, Any]]:
    """What one file answers, greedily."""
    from mistralrs import ChatCompletionRequest, ModelDType, Runner, Which

    path = Path(request["gguf"])
    file = Which.GGUF(quantized_model_id=str(path.parent), quantized_filename=path.name, dtype=ModelDType.F32)
    runner = Runner(which=file, token_source="none")
    result = []
    for messages, prompt in zip(request["conversations"], request["prompts"], strict=True):
        asked = ChatCompletionRequest(model="default", messages=messages, max_tokens=request["limit"], temperature=0.0)
        choice = runner.send_chat_completion_request(asked).choices[0]
        ids = runner.tokenize_text(prompt, True, None)
        result.append({"prompt": list(ids), "text": choice.message.content, "ended": choice.finish_reason})
    return result


if __name__ == "__main__":
    stdout = os.dup(1)
    os.dup2(2, 1)  # what native code prints must not come between
    os.write(stdout, json.dumps([answers(request) for request in json.load(sys.stdin)]).encode())
