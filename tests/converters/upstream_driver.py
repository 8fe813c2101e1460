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
from typing import Any


def main() -> None:
    """Convert until the input ends; tokenizers are read once per folder, which changes nothing but the time."""
    folder = Path(sys.argv[1])
    sys.path[:0] = [str(folder), str(folder / "gguf-py")]
    import convert_hf_to_gguf
    import gguf
    import transformers
    from conversion.base import TextModel

    words: dict[Path, Any] = {}
    read_words = TextModel.get_vocab_base

    def words_once(model: Any) -> Any:
        if model.dir_model not in words:
            words.clear()
            words[model.dir_model] = read_words(model)
        return words[model.dir_model]

    TextModel.get_vocab_base = words_once
    transformers.AutoTokenizer.from_pretrained = functools.lru_cache(maxsize=1)(transformers.AutoTokenizer.from_pretrained)
    vars(gguf)["SpecialVocab"] = functools.lru_cache(maxsize=1)(gguf.SpecialVocab)
    for line in sys.stdin:
        sys.argv = ["convert_hf_to_gguf.py", *json.loads(line)]
        logging.root.handlers.clear()
        with contextlib.redirect_stdout(sys.stderr):
            convert_hf_to_gguf.main()
        print("done", flush=True)


if __name__ == "__main__":
    main()
