"""Checkpoints that are whole or not there: written beside, synced, manifest last, renamed into place, verified before use."""

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgetune.storage.files import publish_folder, sha256, write_json

MANIFEST = "manifest.json"
NEWEST_KEPT = 2
"""Newest checkpoints that stay; the best one stays beside them."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's folder and the step it was taken at."""

    folder: Path
    step: int


def write_manifest(folder: Path, **facts: Any) -> None:
    """Write the manifest of a finished folder, last: size and sha256 of every file, and `facts`."""
    files = {
        str(p.relative_to(folder)): {"bytes": p.stat().st_size, "sha256": sha256(p)}
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != MANIFEST
    }
    write_json(folder / MANIFEST, {**facts, "files": files})


def find_damage(folder: Path) -> str:
    """Why a folder with a manifest is not valid, or an empty text when it is."""
    try:
        files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
        for name, facts in files.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            if path.stat().st_size != facts["bytes"] or sha256(path) != facts["sha256"]:
                return f"{name} has changed since it was written"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"its manifest cannot be read ({type(error).__name__})"
    return ""


def list_checkpoints(folder: Path) -> list[Checkpoint]:
    """Checkpoints in a folder, oldest first, valid or not."""
    if not folder.is_dir():
        return []
    numbered = [Checkpoint(p, int(p.name.removeprefix("step-"))) for p in folder.glob("step-*") if p.name.removeprefix("step-").isdigit()]
    return sorted(numbered, key=lambda c: c.step)


def newest_valid(folder: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint that verifies, and what was skipped on the way to it, in words."""
    skipped: list[str] = []
    for checkpoint in reversed(list_checkpoints(folder)):
        reason = find_damage(checkpoint.folder)
        if not reason:
            return checkpoint, skipped
        skipped.append(f"{checkpoint.folder.name}: {reason}")
    return None, skipped


def save_checkpoint(
    folder: Path,
    step: int,
    weights: dict[str, Any],
    optimizer: Any,
    scheduler: Any,
    trainer_state: Any,
    progress: dict[str, Any],
    scaler: Any = None,
) -> Path:
    """Write checkpoint `step-N`: trained weights, optimizer, scheduler, random states, trainer state, progress. Returns its folder."""
    from safetensors.torch import save_file

    # A run that is resumed reaches the same steps again; a sound checkpoint of that step can stay.
    target = folder / f"step-{step:08d}"
    if target.exists():
        if not find_damage(target):
            return target
        shutil.rmtree(target)  # damaged, and this one replaces it

    # A kill in the middle must leave no folder that looks like a checkpoint.
    with publish_folder(target) as part:
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in weights.items()}, part / "weights.safetensors")

        # safetensors holds tensors only: what is plain in a state goes into JSON, so that nothing is pickled.
        tensors, plain = _flatten(optimizer.state_dict())
        save_file(tensors, part / "optimizer.safetensors")

        # Random states too, so that a resumed run takes the very steps that it would have taken.
        random_tensors, random_plain = _random_states()
        save_file(random_tensors, part / "random.safetensors")
        write_json(
            part / "state.json",
            {
                "optimizer": plain,
                "scheduler": scheduler.state_dict(),
                "random": random_plain,
                "progress": progress,
                "scaler": scaler.state_dict() if scaler is not None else None,
            },
        )

        # The manifest comes last: it holds the hashes of all other files.
        trainer_state.save_to_json(str(part / "trainer_state.json"))
        write_manifest(part, step=step)
    return target


def prune_checkpoints(folder: Path, best_step: int) -> None:
    """Remove checkpoints older than the newest NEWEST_KEPT, except the best."""
    for old in list_checkpoints(folder)[:-NEWEST_KEPT]:
        if old.step != best_step:
            shutil.rmtree(old.folder)


def load_weights(folder: Path, weights: dict[str, Any]) -> None:
    """Copy a checkpoint's weights into the model's, each keeping its dtype and place."""
    import torch
    from safetensors.torch import load_file

    stored = load_file(folder / "weights.safetensors")
    if stored.keys() != weights.keys():
        raise ValueError("the checkpoint holds other tensors than the model trains")
    with torch.no_grad():
        for name, tensor in weights.items():
            if stored[name].dtype != tensor.dtype or stored[name].shape != tensor.shape:
                raise ValueError(f"{name} has another dtype or shape in the checkpoint")
            tensor.copy_(stored[name])


def read_checkpoint_state(folder: Path) -> dict[str, Any]:
    """A checkpoint's plain state."""
    value: dict[str, Any] = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    return value


def load_optimizer(folder: Path, optimizer: Any, scheduler: Any, scaler: Any = None) -> None:
    """Put optimizer, scheduler and loss scaler back as they were, dtypes included."""
    from safetensors.torch import load_file

    stored = read_checkpoint_state(folder)
    # torch casts what it loads to the parameter's dtype; the moments are of that dtype already, as the weights are fp32.
    optimizer.load_state_dict(_unflatten(load_file(folder / "optimizer.safetensors"), stored["optimizer"]))
    scheduler.load_state_dict(stored["scheduler"])
    if scaler is not None and stored["scaler"]:
        scaler.load_state_dict(stored["scaler"])


def load_random(folder: Path) -> None:
    """Put all random states back."""
    import numpy as np
    import torch
    from safetensors.torch import load_file

    tensors, plain = load_file(folder / "random.safetensors"), read_checkpoint_state(folder)["random"]
    torch.set_rng_state(tensors["torch"])
    if torch.cuda.is_available() and "cuda" in tensors:
        torch.cuda.set_rng_state(tensors["cuda"])
    version, numbers, gauss = plain["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, position, has_gauss, cached = plain["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))


def _random_states() -> tuple[dict[str, Any], dict[str, Any]]:
    import numpy as np
    import torch

    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return tensors, {"python": random.getstate(), "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached]}


def _flatten(state_dict: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An optimizer's state as named tensors, and the rest as plain values."""
    import torch

    tensors, plain = {}, {}
    for index, values in state_dict["state"].items():
        for key, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{index}.{key}"] = value.detach().contiguous().cpu()
            else:
                plain[f"{index}.{key}"] = value
    return tensors, {"values": plain, "groups": state_dict["param_groups"]}


def _unflatten(tensors: dict[str, Any], plain: dict[str, Any]) -> dict[str, Any]:
    result: dict[int, dict[str, Any]] = {}
    for name, value in [*tensors.items(), *plain["values"].items()]:
        index, key = name.split(".", 1)
        result.setdefault(int(index), {})[key] = value
    groups = [{k: tuple(v) if k == "betas" else v for k, v in group.items()} for group in plain["groups"]]
    return {"state": result, "param_groups": groups}
