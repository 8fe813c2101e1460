"""EdgeTune's engine: fine-tune, export and chat with small models on one machine, offline."""

import logging
import os

__version__ = "0.1.0"

# Offline by construction: no library of ours may reach a hub or report home, whatever imports it later.
for _name in (
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_DATASETS_OFFLINE",
    "HF_HUB_DISABLE_TELEMETRY",
    "DO_NOT_TRACK",
    "WANDB_DISABLED",
):
    os.environ[_name] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

# It tells users to install `kernels`, which fetches and runs code from a hub.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
