"""Tiny models with weights that act, and llama.cpp."""

import ctypes
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from tests.converters.reference import byte_level_tokenizer, qwen2_steps
from tests.converters.small_models import random_model

MakeModel = Callable[..., Path]


@pytest.fixture(scope="session")
def make_model(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """Makes a model folder from a Hugging Face configuration (a dict); the same configuration only once."""
    folders: dict[str, Path] = {}

    def make(config: dict[str, Any], dtype: str = "float32", shard: str = "5GB") -> Path:
        key = json.dumps([config, dtype, shard], sort_keys=True)
        if key not in folders:
            folder = tmp_path_factory.mktemp("model")
            random_model(config, folder, dtype, shard)
            byte_level_tokenizer(folder, min(config.get("text_config", config)["vocab_size"], 300), qwen2_steps())
            folders[key] = folder
        return folders[key]

    return make


@pytest.fixture(scope="session")
def llama_cpp() -> Iterator[Any]:
    """The library, quiet."""
    import llama_cpp as library

    @library.llama_log_callback
    def quiet(level: int, text: bytes, data: Any) -> None:
        """Drop the message."""

    library.llama_log_set(quiet, ctypes.c_void_p(0))
    library.llama_backend_init()
    yield library
    library.llama_log_set(library.llama_log_callback(0), ctypes.c_void_p(0))
