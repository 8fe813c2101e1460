"""What cannot be trained on an architecture is refused before there is a run, and nothing else is."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from converters.archs import supported
from edgetune.bases.load import load_model
from edgetune.errors import InputError
from edgetune.methods import PACKING_REFUSED
from edgetune.storage.paths import BUNDLED
from edgetune.storage.workspace import Run, Workspace
from tests.converters.conftest import MakeModel, make_model
from tests.converters.test_archs import tiny

__all__ = ["make_model"]

pytestmark = pytest.mark.filterwarnings("ignore")
ROWS = [[5, 17, 40, 3, 9, 77, 21], [60, 8, 5, 33, 12]]


@pytest.mark.parametrize("kind", supported())
def test_packed_rows_are_read_apart_wherever_packing_is_not_refused(make_model: MakeModel, kind: str) -> None:
    import torch

    model = load_model(make_model(tiny(kind)), "cpu", "float32").eval()

    # As TRL's collator gives them: one row, its positions counted anew for every example.
    ids = torch.tensor([[token for row in ROWS for token in row]])
    positions = torch.tensor([[place for row in ROWS for place in range(len(row))]])
    with torch.no_grad():
        packed = model(input_ids=ids, position_ids=positions, use_cache=False).logits[0]
        apart = torch.cat([model(input_ids=torch.tensor([row]), use_cache=False).logits[0] for row in ROWS])
    first, second = (float((packed[part] - apart[part]).abs().max()) for part in (slice(0, len(ROWS[0])), slice(len(ROWS[0]), None)))
    assert first < 1e-3 and (second > 0.01 if kind in PACKING_REFUSED else second < 1e-3)


@pytest.mark.parametrize("kind", PACKING_REFUSED)
def test_packing_is_refused_before_there_is_a_run(kind: str, train: Callable[..., Run], workspace: Workspace, facts: Path) -> None:
    base = workspace.path / "base"
    shutil.copytree(BUNDLED, base)
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    (base / "config.json").write_text(json.dumps({**config, "model_type": kind}), encoding="utf-8")
    with pytest.raises(InputError, match=f"--packing does not work on {kind}") as caught:
        train("r", base=str(base), data=str(facts), packing=True, max_steps=1)
    assert "see the one before it" in caught.value.cause and not list(workspace.runs_folder.glob("*"))


@pytest.mark.parametrize("kind", supported())
def test_every_architecture_can_score(make_model: MakeModel, kind: str) -> None:
    """By the head on the hidden state of the last token, whatever pads a batch, in the body that the causal model has."""
    import torch
    from transformers import AutoModel

    folder = make_model(tiny(kind))
    scorer, body = load_model(folder, "cpu", "float32", reward=True).eval(), AutoModel.from_pretrained(folder).float().eval()
    scorer.config.get_text_config().pad_token_id = 0
    short, long = sorted(ROWS, key=len)
    with torch.no_grad():
        batch = torch.tensor([long, short + [0] * (len(long) - len(short))])
        scores = scorer(input_ids=batch, attention_mask=(batch != 0).long(), use_cache=False).logits.flatten()
        expected = [scorer.score(body(input_ids=torch.tensor([row])).last_hidden_state[0, -1])[0] for row in (long, short)]
    torch.testing.assert_close(scores, torch.stack(expected), rtol=1e-4, atol=1e-4)
    assert abs(float(scores[0] - scores[1])) > 1e-3
