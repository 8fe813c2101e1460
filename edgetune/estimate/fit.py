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
from edgetune.machine.hardware import Choice
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
EASY_SHARE = 0.8
"""Share of the free memory up to which a run fits: other programs want some of it too, and the prediction is right within 15 %."""


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
    cuda = device != "cpu"
    quantized = recipe.quantization != "none"
    compute_bytes = 4 if not recipe.lora or hardware.choose_dtype(device).value == "float32" else 2

    # What stays in memory throughout: the base and, in fp32, what is trained.
    weights = _base_bytes(recipe, shape, compute_bytes, device)
    trained = _trained_weights(recipe, shape)
    adapter = 4 * trained if recipe.lora else 0

    # Activations: of every layer, or with checkpointing every layer's input and one layer at a time.
    tokens = _batch_tokens(recipe, base)
    layer = tokens * _layer_numbers(recipe, shape, compute_bytes) * compute_bytes
    checkpointed = recipe.gradient_checkpointing
    activations = tokens * shape.hidden * compute_bytes * shape.layers + layer if checkpointed else layer * shape.layers
    # Quantized matrices are unpacked one at a time, for the product and once more for its gradient.
    largest = max((rows * columns for _, rows, columns in shape.linear), default=0)
    activations += 2 * largest * compute_bytes if quantized else 0

    # A reward model has no loss head; the head of full fine-tuning also has a gradient of its own, in fp32.
    writes_answers = methods.get(recipe.method).writes_answers
    head = _head(recipe, shape, tokens, cuda) if writes_answers else LAYERS_BACK * layer
    head += 0 if recipe.lora else 4 * shape.hidden * shape.vocabulary

    # Freed blocks between live ones stay with the process, as far as the C library cannot hand them back.
    holes = HOLES_KEPT * activations
    if quantized and not checkpointed:
        holes += HOLES_UNPACKED * shape.linear_weights * compute_bytes
    runtime = GPU_CONTEXT if cuda else CPU_RUNTIME + int(holes)

    # The peak is the largest of four moments, each with (adapter, optimizer, activations, head, runtime).
    gradients = 4 * trained
    moments = 8 * trained
    accumulated = gradients if recipe.gradient_accumulation > 1 else 0
    updated = 0 if recipe.lora else max(largest, shape.hidden * shape.vocabulary)
    mapped = not cuda and not quantized and shape.file_bytes < 1.05 * compute_bytes * (shape.linear_weights + shape.other)
    peaks = {
        "head": (adapter, moments + accumulated, activations, head, runtime),
        "backward": (adapter, moments + gradients, layer if checkpointed else int(layer * 1.5), 0, runtime),
        "step": (adapter, moments + gradients, 8 * updated, 0, runtime),
        "load": (0, 0, 0 if mapped else min(shape.file_bytes, 5 * 10**9), 0, GPU_CONTEXT if cuda else 0),
    }
    adapter, optimizer, activations, head, runtime = (int(part) for part in max(peaks.values(), key=sum))
    return Memory(weights, adapter, optimizer, activations, head, runtime, measured=not cuda)


def _trained_weights(recipe: Recipe, shape: model_shapes.Shapes) -> int:
    """Weights that the optimizer moves: the adapter's, or all of them."""
    return shape.adapter_weights(recipe.rank, recipe.target_modules) if recipe.lora else shape.linear_weights + shape.other


def _base_bytes(recipe: Recipe, shape: model_shapes.Shapes, compute_bytes: int, device: str) -> int:
    """Bytes of the base's weights as they are held while it trains."""
    weight_bytes = {"nf4": NF4_BYTES, "int8": 1.0, "none": compute_bytes}[recipe.quantization]
    # Matrices that bitsandbytes would misread in NF4 stay as they are.
    unpacked = sum(rows * columns for _, rows, columns in shape.linear if recipe.quantization == "nf4" and is_misread(columns, device))
    return int((shape.linear_weights - unpacked) * weight_bytes + (shape.other + unpacked) * compute_bytes)


def _batch_tokens(recipe: Recipe, base: find.Base) -> int:
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


def _layer_numbers(recipe: Recipe, shape: model_shapes.Shapes, compute_bytes: float) -> int:
    """Numbers that one layer keeps for the gradient, for each token.

    Both norms keep their input and give what the next matrices keep (4 x hidden); attention keeps queries, keys and values spread over
    all heads, and its answer (4 x heads x head size); the gated MLP keeps gate, its SiLU, up and their product (4 x inner); LoRA its rank.
    In 16 bits the norms' inputs stay in 32, and each LoRA matrix keeps a separate copy of its input, which PEFT casts to its
    32 bits and autocast back (10 x hidden: counted with torch's saved-tensor hooks on Llama and Qwen3).
    """
    lora = len(shape.linear) // max(shape.layers, 1) * recipe.rank if recipe.lora else 0
    hidden = (10 if compute_bytes == 2 and recipe.lora else 4) * shape.hidden
    return hidden + 4 * shape.heads * shape.head_size + 4 * shape.inner + lora


def training_disk(recipe: Recipe, base: find.Base) -> int:
    """Bytes of the checkpoints that stay (the newest two, the best, one being written; each weights and two moments) and the result."""
    trained = _trained_weights(recipe, model_shapes.read_shapes(base))
    return 4 * (12 * trained) + 4 * trained


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
    """Recipe values to set so that it fits. needed: peak memory then, in bytes. description: what it costs, for a person."""

    values: dict[str, Any]
    needed: int
    description: str


def memory_savers(recipe: Recipe) -> list[tuple[dict[str, Any], str]]:
    """Changes that save memory, the least harmful first."""
    savers: list[tuple[dict[str, Any], str]] = []

    # Smaller batches with more accumulation give the same update.
    batch = recipe.batch_size
    accumulation = recipe.gradient_accumulation
    while batch > 1 and batch % 2 == 0:
        batch //= 2
        accumulation *= 2
        values = {"batch_size": batch, "gradient_accumulation": accumulation}
        savers.append((values, f"batch size {batch}, gradient accumulation {accumulation}: same result, slower"))
    if batch > 1:
        values = {"batch_size": 1, "gradient_accumulation": accumulation * batch}
        savers.append((values, "batch size 1, the rest accumulated: the same result, slower"))
    if not recipe.gradient_checkpointing:
        savers.append(({"gradient_checkpointing": True}, "gradient checkpointing: the same result, about a third slower"))

    # From here on the result is another one.
    if recipe.lora and recipe.quantization != "nf4":
        savers.append(({"quantization": "nf4"}, "the base in nf4: a little less exact"))
    if not recipe.lora:
        savers.append(({"lora": True, "quantization": "nf4"}, "a LoRA adapter instead of every weight"))
    length = recipe.max_length // 2
    while length >= 128:
        savers.append(({"max_length": length}, f"rows of at most {length} tokens: longer ones are treated as --overlong says"))
        length //= 2
    if recipe.lora and recipe.rank > 8:
        savers.append(({"rank": 8, "alpha": recipe.alpha * 8 / recipe.rank}, "rank 8: learns less"))
    return savers


def _changed(recipe: Recipe, values: dict[str, Any]) -> Recipe | None:
    """A recipe with other values; None where they do not go together."""
    try:
        return Recipe(**{**recipe.model_dump(), **values})
    except ValidationError:
        return None


def smallest_change(recipe: Recipe, base: find.Base, device: str, free: int) -> Change | None:
    """The smallest change with which it fits into `free` bytes: one alone if one is enough, else several. None: nothing helps."""

    def need(changed: Recipe) -> int:
        return interpreter_memory(device) + training_memory(changed, base, device).total

    # One change alone, the least harmful that is enough.
    savers = memory_savers(recipe)
    for values, description in savers:
        if (changed := _changed(recipe, values)) and (needed := need(changed)) <= free:
            return Change(values, needed, description)

    # Else one after the other; of those that set the same values the last counts.
    all_values: dict[str, Any] = {}
    descriptions: dict[str, str] = {}
    for values, description in savers:
        if changed := _changed(recipe, all_values | values):
            all_values |= values
            descriptions["+".join(values)] = description
            if (needed := need(changed)) <= free:
                return Change(all_values, needed, "; ".join(descriptions.values()))
    return None


def judge_base(base: find.Base, recipe: Recipe) -> Choice:
    """Whether a base can be trained here: one of fits, tight and no, and why. recipe: how it would be trained, its base left aside.

    Rows are taken to be as long as the recipe allows. tight: with little room, or only after the change that is named.
    """
    device = hardware.choose_device(recipe.device).value
    free = free_memory(device)
    need = interpreter_memory(device) + training_memory(recipe, base, device).total
    reason = f"about {format_size(need)} of {format_size(free)} free"
    if need <= EASY_SHARE * free:
        return Choice("fits", reason)
    if need <= free:
        return Choice("tight", f"{reason}: close other programs")

    # Only a recipe that is changed fits, or none.
    change = smallest_change(recipe, base, device, free)
    return (
        Choice("tight", f"{reason}; it fits with {change.description}") if change else Choice("no", f"{reason}, and no change makes it fit")
    )
