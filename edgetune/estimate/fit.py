"""Will it fit? Peak memory and disk of training, export and chat, before anything starts, and the smallest change that fits.

Memory is counted above the interpreter with its imports. The peak of a training worker is what stays (weights, trained weights, moments)
and the largest of four moments: the base being loaded, the loss head's backward (all activations are held then), the last layer's
backward with gradients, and the optimizer's step. Sources: transformers' decoder layers, peft's LoraLayer, TRL's
kernels/chunked_logprob.py (tiles of logits in fp32 where there is no Triton), torch's AdamW.
"""

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError

from edgetune import methods
from edgetune.bases import find, model_shapes
from edgetune.bases.nf4 import is_misread
from edgetune.config.recipe import Recipe
from edgetune.errors import EdgeTuneError
from edgetune.estimate.gguf_types import DEFAULT_TYPE, type_facts
from edgetune.formatting import format_size
from edgetune.machine import hardware
from edgetune.storage.workspace import Workspace

INTERPRETER = 500 * 2**20
"""The interpreter with torch, transformers, peft and trl imported (491 MiB seen)."""
CPU_RUNTIME = 110 * 2**20
"""What a worker holds beside the tensors while it trains: rows, tokenizer, threads' buffers (fitted)."""
HOLES_KEPT = 0.35
"""Holes in the C library's heaps, which hold most blocks below 32 MiB, as a share of the activations (fitted)."""
HOLES_UNPACKED = 0.25
"""Holes that unpacked matrices leave among activations, as a share of all matrices in the format of the computation (fitted)."""
HEAD_TILES = 8.25
"""Tiles of logits that the loss head's backward in plain torch holds at once: the product, its scaled copies, log-probabilities,
probabilities, the gradient and two temporaries (counted in TRL's _backward_tile)."""
HEAD_TOKENS, HEAD_WIDTH = 4096, 32768
"""The most tokens and vocabulary entries of one tile (TRL's constants)."""
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
"""Bytes of a weight in NF4 with double quantization: 4 bits, a byte for each block of 64, four for each 256 blocks (QLoRA, section 3)."""
EXPORT_MEMORY = 300 * 2**20
"""What an export holds beside the mapped files and the interpreter: rows of a tensor at a time (206 MiB seen on 1.2B parameters)."""
EXPORT_RATE = 27e6
"""Weights that a core merges and writes as Q4_K_M in a second (1.2B parameters took 22.5 s on two)."""
FULL_LOGITS_TABLES = 6.5
"""Tables of all logits that methods hold at once which build them whole, as trl.experimental's ORPO and CPO do (fitted)."""
LAYERS_BACK = 2
"""Layers' worth of activations that the last layer's backward holds beside them, where no loss head's is larger (fitted)."""
GPU_CONTEXT = 600 * 2**20
"""CUDA's own context. Not measured."""
GPU_HEAD_TILES = 1.0
"""With Triton the tile is folded in place. Not measured."""


@dataclass(frozen=True)
class Memory:
    """Bytes at the peak, above the interpreter with its imports. measured: whether the constants were fitted on such a device."""

    weights: int
    adapter: int
    optimizer: int
    activations: int
    head: int
    runtime: int
    measured: bool

    @property
    def total(self) -> int:
        """All parts together."""
        return self.weights + self.adapter + self.optimizer + self.activations + self.head + self.runtime

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self) | {"total": self.total}


def training_memory(recipe: Recipe, base: find.Base, device: str) -> Memory:
    """Predicted peak of a training worker whose rows are as long as the recipe allows."""
    shape = model_shapes.read_shapes(base)
    compute = 4 if not recipe.lora or hardware.choose_dtype(device).value == "float32" else 2
    weights = _held(recipe, shape, compute, device)
    moved = shape.adapter_weights(recipe.rank, recipe.target_modules) if recipe.lora else shape.linear_weights + shape.other
    adapter = 4 * moved if recipe.lora else 0
    tokens = _tokens(recipe, base)
    layer = tokens * _floats(recipe, shape, compute) * compute
    kept = tokens * shape.hidden * compute * shape.layers + layer if recipe.gradient_checkpointing else layer * shape.layers
    # Quantized matrices are unpacked one at a time, for the product and once more for its gradient.
    largest = max((out * into for _, out, into in shape.linear), default=0)
    quantized = recipe.quantization != "none"
    kept += 2 * largest * compute if quantized else 0
    cuda = device != "cpu"
    scores = not methods.get(recipe.method).writes_answers
    head = LAYERS_BACK * layer if scores else _head(recipe, shape, tokens, cuda)
    gradients = 4 * moved
    holes = HOLES_KEPT * kept
    if quantized and not recipe.gradient_checkpointing:
        holes += HOLES_UNPACKED * shape.linear_weights * compute
    runtime = GPU_CONTEXT if cuda else CPU_RUNTIME + int(holes)
    mapped = not cuda and not quantized and shape.file_bytes < 1.05 * compute * (shape.linear_weights + shape.other)
    head += 0 if recipe.lora else 4 * shape.hidden * shape.vocabulary  # the head's own gradient, in fp32
    moments = 8 * moved
    held = gradients if recipe.gradient_accumulation > 1 else 0
    step = 0 if recipe.lora else max(largest, shape.hidden * shape.vocabulary)
    moments_of_peak = {
        "head": (adapter, moments + held, kept, head, runtime),
        "backward": (adapter, moments + gradients, layer if recipe.gradient_checkpointing else int(layer * 1.5), 0, runtime),
        "step": (adapter, moments + gradients, 8 * step, 0, runtime),
        "load": (0, 0, 0 if mapped else min(shape.file_bytes, 5 * 10**9), 0, GPU_CONTEXT if cuda else 0),
    }
    adapter, optimizer, activations, tiles, beside_tensors = (int(part) for part in max(moments_of_peak.values(), key=sum))
    return Memory(weights, adapter, optimizer, activations, tiles, beside_tensors, not cuda)


def _held(recipe: Recipe, shape: model_shapes.Shapes, compute: int, device: str) -> int:
    """Bytes of the base's weights as they are held while it trains."""
    packed = {"nf4": NF4_BYTES, "int8": 1.0, "none": compute}[recipe.quantization]
    whole = [out * into for _, out, into in shape.linear if recipe.quantization == "nf4" and is_misread(into, device)]
    return int((shape.linear_weights - sum(whole)) * packed + (shape.other + sum(whole)) * compute)


def _tokens(recipe: Recipe, base: find.Base) -> int:
    """Tokens of a batch of full rows: a pair is two of them, and a prompt stands before the answer written to it while training."""
    method = methods.get(recipe.method)
    if method.samples_answers:
        return recipe.batch_size * (min(recipe.max_length, base.context - recipe.max_completion_length) + recipe.max_completion_length)
    return recipe.batch_size * min(recipe.max_length, base.context) * method.rows_per_example


def _head(recipe: Recipe, shape: model_shapes.Shapes, tokens: int, cuda: bool) -> int:
    """Bytes of the loss head: tiles of logits, or all of them."""
    if methods.get(recipe.method).holds_all_logits:
        return int(tokens * shape.vocabulary * 4 * FULL_LOGITS_TABLES)
    width = min(shape.vocabulary, HEAD_WIDTH)
    return int(min(tokens, HEAD_TOKENS) * width * 4 * (GPU_HEAD_TILES if cuda else HEAD_TILES))


def _floats(recipe: Recipe, shape: model_shapes.Shapes, compute: float) -> int:
    """Numbers that one layer keeps for the gradient, for each token.

    Both norms keep their input and give what the next matrices keep (4 x hidden); attention keeps queries, keys and values spread over
    all heads, and its answer (4 x heads x head size); the gated MLP keeps gate, its SiLU, up and their product (4 x inner); LoRA its rank.
    In 16 bits the norms' inputs stay in 32, and each LoRA matrix keeps a copy of its own of what it is given, which PEFT casts to its
    32 bits and autocast back (10 x hidden: counted with torch's saved-tensor hooks on Llama and Qwen3).
    """
    middles = len(shape.linear) // max(shape.layers, 1) * recipe.rank if recipe.lora else 0
    return (10 if compute == 2 and recipe.lora else 4) * shape.hidden + 4 * shape.heads * shape.head_size + 4 * shape.inner + middles


def training_disk(recipe: Recipe, base: find.Base) -> int:
    """Bytes of the checkpoints that stay (the newest two, the best, one being written; each weights and two moments) and the result."""
    shape = model_shapes.read_shapes(base)
    moved = shape.adapter_weights(recipe.rank, recipe.target_modules) if recipe.lora else shape.linear_weights + shape.other
    return 4 * (12 * moved) + 4 * moved


def chat_memory(base: find.Base, context: int, type_name: str = DEFAULT_TYPE) -> dict[str, int]:
    """Weights of a GGUF of a type and the KV cache in F16 of `context` tokens. Not measured."""
    shape = model_shapes.read_shapes(base)
    cache = 2 * shape.layers * shape.kv_heads * shape.head_size * context * 2
    return {"weights": type_facts(type_name).size(base.parameters), "kv_cache": cache}


def export_need(base: find.Base, type_name: str = DEFAULT_TYPE) -> dict[str, int]:
    """Disk of an export of a type, its memory, and about how many seconds it takes, without its proof."""
    seconds = max(1, round(base.parameters / (EXPORT_RATE * hardware.this_machine().cores)))
    return {"disk": type_facts(type_name).size(base.parameters), "memory": EXPORT_MEMORY, "seconds": seconds}


def proof_memory(largest: int, predictions: int) -> int:
    """About what a proof needs: the interpreter, three copies of the largest matrix in fp32, and six tables of predictions.

    largest: weights of the largest matrix. predictions: tokens compared times vocabulary. One peak was measured, on 0.6B parameters with a
    vocabulary of 152k: 3.3 GiB, where this gives 3.2.
    """
    return INTERPRETER + 4 * (3 * largest + 6 * predictions)


def need_memory(needed: int, what: str, remedy: str) -> None:
    """EdgeTuneError where this machine has less memory free than `needed` bytes."""
    free = hardware.this_machine().memory_free
    if needed > free:
        raise EdgeTuneError("Not enough memory", f"{what} needs about {format_size(needed)}; {format_size(free)} are free.", remedy)


def free_memory(device: str) -> int:
    """Bytes that a run may take on a device."""
    here = hardware.this_machine()
    return here.gpu_memory if device == "cuda" and here.gpu_memory else here.memory_free


def interpreter_memory(device: str) -> int:
    """Bytes of the interpreter, where they come from the memory that the tensors lie in."""
    return 0 if device == "cuda" else INTERPRETER


def step_seconds(recipe: Recipe, base: find.Base, workspace: Workspace) -> tuple[float | None, str]:
    """About how many seconds a step of full rows takes, or None, and where the figure comes from."""
    from edgetune.estimate.training_time import training_speed

    rate, reason = training_speed(recipe, base, workspace)
    tokens = recipe.batch_size * recipe.gradient_accumulation * min(recipe.max_length, base.context)
    return (tokens / rate if rate else None), reason


@dataclass(frozen=True)
class Change:
    """Recipe values to set so that it fits. needed: peak memory then, in bytes. words: what it costs, for a person."""

    values: dict[str, Any]
    needed: int
    words: str


def memory_savers(recipe: Recipe) -> list[tuple[dict[str, Any], str]]:
    """Changes that save memory, the least harmful first."""
    found: list[tuple[dict[str, Any], str]] = []
    batch, accumulation = recipe.batch_size, recipe.gradient_accumulation
    while batch > 1 and batch % 2 == 0:
        batch, accumulation = batch // 2, accumulation * 2
        found.append(
            (
                {"batch_size": batch, "gradient_accumulation": accumulation},
                f"batch size {batch}, gradient accumulation {accumulation}: same result, slower",
            )
        )
    if batch > 1:
        found.append(
            (
                {"batch_size": 1, "gradient_accumulation": accumulation * batch},
                "batch size 1, the rest accumulated: the same result, slower",
            )
        )
    if not recipe.gradient_checkpointing:
        found.append(({"gradient_checkpointing": True}, "gradient checkpointing: the same result, about a third slower"))
    if recipe.lora and recipe.quantization != "nf4":
        found.append(({"quantization": "nf4"}, "the base in nf4: a little less exact"))
    if not recipe.lora:
        found.append(({"lora": True, "quantization": "nf4"}, "a LoRA adapter instead of every weight"))
    length = recipe.max_length // 2
    while length >= 128:
        found.append(({"max_length": length}, f"rows of at most {length} tokens: longer ones are treated as --overlong says"))
        length //= 2
    if recipe.lora and recipe.rank > 8:
        found.append(({"rank": 8, "alpha": recipe.alpha * 8 / recipe.rank}, "rank 8: learns less"))
    return found


def _with(recipe: Recipe, values: dict[str, Any]) -> Recipe | None:
    """A recipe with other values; None where they do not go together."""
    try:
        return Recipe(**{**recipe.model_dump(), **values})
    except ValidationError:
        return None


def smallest_change(recipe: Recipe, base: find.Base, device: str, free: int) -> Change | None:
    """The smallest change with which it fits into `free` bytes: one alone if one is enough, else several. None: nothing helps."""

    def need(changed: Recipe) -> int:
        return interpreter_memory(device) + training_memory(changed, base, device).total

    offered = memory_savers(recipe)
    for values, words in offered:
        if (changed := _with(recipe, values)) and (needed := need(changed)) <= free:
            return Change(values, needed, words)
    all_values: dict[str, Any] = {}
    said: dict[str, str] = {}
    for values, words in offered:
        if changed := _with(recipe, all_values | values):
            all_values |= values
            said["+".join(values)] = words
            if (needed := need(changed)) <= free:
                return Change(all_values, needed, "; ".join(said.values()))
    return None
