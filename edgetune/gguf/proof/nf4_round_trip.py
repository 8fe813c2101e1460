"""The model as it was trained: on a base whose matrices bitsandbytes held in NF4."""

from typing import Any

import numpy as np

from edgetune.bases import nf4
from edgetune.gguf.proof.streamed import ReadTensor


class Nf4RoundTrip:
    """A base's tensors after a way to NF4 and back, as QLoRA trains against them (Dettmers et al. 2023, arXiv:2305.14314, section 3).

    skeleton: the base without weights, whose modules are the matrices that bitsandbytes packs: of all linear layers but the output matrix,
    and but those that it would misread on the device of the training.
    """

    def __init__(self, skeleton: Any, base: ReadTensor, device: str) -> None:
        from transformers.pytorch_utils import Conv1D

        head = skeleton.get_output_embeddings()
        packed = {
            path: module
            for path, module in skeleton.named_modules()
            if (width := nf4.row_width(module)) is not None and module is not head and not nf4.is_misread(width, device)
        }
        self._base = base
        self._turned = {f"{path}.weight": isinstance(module, Conv1D) for path, module in packed.items()}

    def __call__(self, name: str) -> np.ndarray:
        """A tensor in float32."""
        values = self._base(name)
        if name not in self._turned:
            return values
        import torch
        from bitsandbytes.functional import quantize_4bit

        weight = torch.from_numpy(np.ascontiguousarray(values.T if self._turned[name] else values))
        back: np.ndarray = nf4.dequantize(*quantize_4bit(weight, quant_type="nf4", compress_statistics=True)).numpy()
        return np.ascontiguousarray(back.T) if self._turned[name] else back
