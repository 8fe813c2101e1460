"""The process a reward model lives in beside a chat, spoken to as chat/llama_process.py is.

`python -m edgetune.evaluation.reward_score_process` starts it.
{"id", "op": "load", "folder"} loads a run's result; {"id", "op": "rate", "prompt", "texts"} is answered with the texts' scores. So torch
and llama.cpp never share a process, and a chat without a reward model never loads torch.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from edgetune.chat.llama_process import guarded_stdout
from edgetune.errors import EdgeTuneError


def main() -> None:
    """Serve stdin until it ends; errors a user can cause go back as errors, our own end the process with a traceback on stderr."""
    sink = guarded_stdout()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C belongs to the client
    scorer: Any = None
    for line in sys.stdin.buffer:
        request = json.loads(line)
        reply: dict[str, Any] = {"id": request["id"]}
        try:
            if request["op"] == "load":
                from edgetune.storage.workspace import Run
                from edgetune.training.reward_model import Scorer

                scorer, reply["done"] = Scorer(Run(Path(request["folder"]))), True
            elif request["op"] == "rate":
                reply["done"] = scorer.rate(request["prompt"], request["texts"])
        except EdgeTuneError as error:
            reply["error"] = {**error.as_dict(), "exit_code": error.exit_code}
        sink.write(json.dumps(reply).encode() + b"\n")
        sink.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
