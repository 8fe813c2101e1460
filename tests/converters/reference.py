"""Independent readers of what the converters write (llama.cpp, transformers), and small tokenizers to convert."""

import ctypes
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from converters import convert

Tokenize = Callable[[str, bool], list[int]]
WORDS = (
    "the lamp of the lighthouse turns all night, and the keeper's boat isn't far; 42 gulls, 7 seals\n\n  asleep. Über naïve café "
    "北京! I'll say \"hello\" twice, WE'VE three.\tTabs too. "
) * 4


def byte_level_tokenizer(folder: Path, size: int, steps: list[Any], **kinds: Any) -> None:
    """Train a byte-level BPE tokenizer on WORDS and save it as a model folder's tokenizer.json."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    for name, value in kinds.items():
        setattr(tokenizer, name, value)
    special = [AddedToken(text, special=True, normalized=False) for text in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    tokenizer.train_from_iterator(
        [WORDS],
        trainers.BpeTrainer(
            vocab_size=size, special_tokens=special, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
        ),
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}))


def qwen2_steps() -> list[Any]:
    """The pre-tokenizer of Qwen2, and of the bundled model."""
    from tokenizers import Regex, pre_tokenizers

    from converters.pretokenizer import SPLIT_PATTERNS

    expression = next(expression for (expression, _), name in SPLIT_PATTERNS.items() if name == "qwen2")
    return [pre_tokenizers.Split(Regex(expression), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


def write_gguf(model: Path, path: Path, type_name: str, adapter: Path | None = None, **options: Any) -> convert.Plan:
    """Convert a model folder into the file `path`."""
    plan = convert.plan_gguf(model, adapter, [type_name], **{"chat_template": None, "name": "tiny", "extra": {}} | options)
    with open(path, "wb") as file:
        plan.write(type_name, file, threads=1)
    return plan


def gguf_logits(library: Any, path: Path, ids: list[int], adapters: Sequence[tuple[Path, float]] = ()) -> np.ndarray:
    """llama.cpp's logits [token, vocabulary] with an F32 cache and without flash attention. adapters: GGUF LoRAs with their scales."""
    params = library.llama_model_default_params()
    params.n_gpu_layers = 0
    model = library.llama_model_load_from_file(str(path).encode(), params)
    assert model, path
    settings = library.llama_context_default_params()
    settings.n_ctx, settings.n_batch, settings.n_ubatch = 256, 256, 256
    settings.n_threads = settings.n_threads_batch = 1
    settings.type_k = settings.type_v = 0
    settings.flash_attn_type = library.LLAMA_FLASH_ATTN_TYPE_DISABLED
    context = library.llama_init_from_model(model, settings)
    if adapters:
        handles = [library.llama_adapter_lora_init(model, str(adapter).encode()) for adapter, _ in adapters]
        assert all(handles), adapters
        kinds = (library.llama_adapter_lora_p_ctypes * len(handles), ctypes.c_float * len(handles))
        library.llama_set_adapters_lora(context, kinds[0](*handles), len(handles), kinds[1](*(scale for _, scale in adapters)))
    batch = library.llama_batch_init(len(ids), 0, 1)
    try:
        batch.n_tokens = len(ids)
        for place, token in enumerate(ids):
            batch.token[place], batch.pos[place], batch.n_seq_id[place], batch.seq_id[place][0], batch.logits[place] = token, place, 1, 0, 1
        assert library.llama_decode(context, batch) == 0
        size = library.llama_vocab_n_tokens(library.llama_model_get_vocab(model))
        return np.stack([np.ctypeslib.as_array(library.llama_get_logits_ith(context, place), (size,)).copy() for place in range(len(ids))])
    finally:
        library.llama_batch_free(batch)
        library.llama_free(context)
        library.llama_model_free(model)


@contextmanager
def gguf_tokenizer(library: Any, path: Path) -> Iterator[Tokenize]:
    """llama.cpp's tokenizer of a file: (text, whether special tokens count) to ids, nothing added."""
    params = library.llama_model_default_params()
    params.vocab_only = True
    model = library.llama_model_load_from_file(str(path).encode(), params)
    assert model
    vocab = library.llama_model_get_vocab(model)

    def tokenize(string: str, special: bool) -> list[int]:
        raw = string.encode("utf-8")
        room = (library.llama_token * (len(raw) + 8))()
        count = library.llama_tokenize(vocab, raw, len(raw), room, len(room), False, special)
        assert count >= 0
        return list(room[:count])

    try:
        yield tokenize
    finally:
        library.llama_model_free(model)


def torch_logits(model: Any, ids: list[int]) -> np.ndarray:
    """transformers' logits [token, vocabulary] in float32."""
    import torch

    torch.set_num_threads(1)
    with torch.no_grad():
        result: np.ndarray = model.eval().float()(torch.tensor([ids])).logits[0].numpy()
    return result


def mean_kl(reference: np.ndarray, other: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence of next-token distributions, in nats, computed in float64."""

    def log_softmax(values: np.ndarray) -> np.ndarray:
        values = values.astype(np.float64) - values.max(axis=1, keepdims=True)
        result: np.ndarray = values - np.log(np.exp(values).sum(axis=1, keepdims=True))
        return result

    p, q = log_softmax(reference), log_softmax(other)
    return float((np.exp(p) * (p - q)).sum(axis=1).mean())


def assert_same_model(reference: np.ndarray, other: np.ndarray, limit: float = 1e-9) -> None:
    """Same top token everywhere and a mean KL of at most `limit`."""
    assert (reference.argmax(axis=1) == other.argmax(axis=1)).all()
    assert mean_kl(reference, other) <= limit
