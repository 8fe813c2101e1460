"""Runs llama.cpp's own converter in a process of its own, for it brings its own gguf-py.

usage: upstream_driver.py LLAMA_CPP_FOLDER
Every line of the input is a JSON list of the converter's arguments; each is answered with "done".
"""

import contextlib
import functools
import json
import logging
import sys
from pathlib import Path


def main() -> None:
    """Convert until the input ends; tokenizers are read once per folder, which changes nothing but the time."""
    folder = Path(sys.argv[1])
    sys.path[:0] = [str(folder), str(folder / "gguf-py")]
    import convert_hf_to_gguf
    import transformers

    transformers.AutoTokenizer.from_pretrained = functools.lru_cache(maxsize=1)(transformers.AutoTokenizer.from_pretrained)
    for line in sys.stdin:
        sys.argv = ["convert_hf_to_gguf.py", *json.loads(line)]
        logging.root.handlers.clear()
        with contextlib.redirect_stdout(sys.stderr):
            convert_hf_to_gguf.main()
        print("done", flush=True)


if __name__ == "__main__":
    main()
