"""Training really teaches, for every kind of recipe; and what is exported is what was trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.gguf.source import from_run
from edgetune.gguf.write import export_gguf
from edgetune.runs import launch
from edgetune.runs.events import read_events
from edgetune.storage.workspace import Run, Workspace
from tests.fixtures.datasets import dataset

STORIES = {
    "quantization": "nf4",
    "max_steps": 60,
    "batch_size": 2,
    "gradient_accumulation": 1,
    "eval_steps": 60,
    "validation_split": 0.05,
    "max_length": 512,
}


@pytest.fixture(scope="module")
def alpaca_runs(stories: Path, train_in: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """The model of stories with nf4 QLoRA, 60 steps on Alpaca, three seeds."""
    place = Workspace(tmp_path_factory.mktemp("alpaca"))
    return [
        train_in(
            place,
            f"seed{seed}",
            base=str(stories),
            data=str(dataset("alpaca_en_demo.json")),
            seed=seed,
            data_seed=seed,
            **STORIES,
        )
        for seed in range(3)
    ]


def fall(run: Run) -> float:
    """How far the held-out loss fell, as a share."""
    losses = [e["loss"] for e in read_events(run.events) if e["kind"] == "evaluated"]
    return 1 - losses[-1] / losses[0]


def test_held_out_loss_falls_with_three_seeds(alpaca_runs: list[Run]) -> None:
    falls = [fall(run) for run in alpaca_runs]
    assert all(f >= 0.15 for f in falls), falls


def test_plain_text_is_learned_too(stories: Path, train: Callable[..., Run]) -> None:
    run = train("wiki", base=str(stories), data=str(dataset("wiki_demo.txt")), **STORIES)
    assert run.request()["format"] == "text"
    assert fall(run) >= 0.15


def merged_in_torch(run: Run) -> Any:
    """The full-precision base with the adapter merged by PEFT, in fp32."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    base = AutoModelForCausalLM.from_pretrained(run.request()["base"], dtype=torch.float32)
    return PeftModel.from_pretrained(base, run.adapter).merge_and_unload().eval()


def test_the_export_answers_as_the_merged_model_does(alpaca_runs: list[Run], tmp_path: Path) -> None:
    import torch

    from edgetune.chat.conversation import Conversation

    run = alpaca_runs[0]
    made = export_gguf(from_run(run), ["F32", "Q8_0"], tmp_path)
    model = merged_in_torch(run)
    with Engine(Path(made[0]["path"]), kv="f32") as engine:
        conversation = Conversation(engine)
        answer = conversation.ask("Name three colours.", sampling=Sampling(temperature=0.0, seed=0), max_tokens=32)
        text = "".join(answer)
        ids = engine.prompt_tokens(answer.rendered)
        assert answer.rendered == "User: Name three colours.\n\nAssistant:"
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(run.request()["base"])
    assert theirs.encode(answer.rendered) == ids
    out = model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=32)[0, len(ids) :].tolist()
    stop = theirs.eos_token_id
    out = out[: out.index(stop)] if stop in out else out
    assert answer.tokens[: len(out)] == out
    assert text.strip() == theirs.decode(out).strip()
    with Engine(Path(made[1]["path"])) as engine:
        assert "".join(Conversation(engine).ask("Name three colours.", sampling=Sampling(temperature=0.0, seed=0), max_tokens=16)).strip()


def test_merged_tensors_equal_pefts(alpaca_runs: list[Run]) -> None:
    from converters.convert import plan_gguf

    run = alpaca_runs[0]
    theirs = {k: v.detach().numpy() for k, v in merged_in_torch(run).state_dict().items()}
    count = 0
    for name, ours in plan_gguf(Path(run.request()["base"]), run.adapter, ["F32"], chat_template=None, name="m", extra={}).merged():
        assert abs(ours - theirs[name]).max() <= 1e-6 * abs(theirs[name]).max(), name
        count += 1
    assert count >= 47


def test_logits_of_a_tuned_nano_agree_in_torch_and_llama_cpp(train: Callable[..., Run], facts: Path, tmp_path: Path) -> None:
    import torch

    run = train("n", base="nano", data=str(facts), max_steps=10, batch_size=4, gradient_accumulation=1, max_length=128)
    path = Path(export_gguf(from_run(run), ["F32"], tmp_path)[0]["path"])
    ids = torch.randint(3, 2048, (64,), generator=torch.Generator().manual_seed(1)).tolist()
    with torch.no_grad():
        ours = torch.log_softmax(merged_in_torch(run)(torch.tensor([ids])).logits[0].double(), -1)
    with Engine(path, kv="f32") as engine:
        theirs = torch.log_softmax(torch.tensor(engine.logits(ids)).double(), -1)
    kl = (ours.exp() * (ours - theirs)).sum(-1).mean().item()
    assert kl <= 1e-9, kl
    assert torch.equal(ours.argmax(-1), theirs.argmax(-1))


@pytest.mark.parametrize(
    "options",
    [
        {"quantization": "int8"},
        {"quantization": "none"},
        {"quantization": "none", "lora": False, "learning_rate": 1e-3},
        {"dora": True},
        {"rslora": True, "target_modules": ["q_proj", "v_proj"]},
        {"packing": True},
        {"gradient_checkpointing": True},
        {"lr_scheduler_type": "constant", "weight_decay": 0.1},
    ],
    ids=lambda o: "-".join(o),
)
def test_every_kind_of_recipe_learns_and_exports(options: dict[str, Any], train: Callable[..., Run], facts: Path, tmp_path: Path) -> None:
    run = train(
        "r",
        base="nano",
        data=str(facts),
        **{"max_steps": 12, "batch_size": 4, "gradient_accumulation": 2, "max_length": 128, "eval_steps": 6, **options},
    )
    assert fall(run) > 0.1
    made = export_gguf(from_run(run), ["Q8_0"], tmp_path)
    with Engine(Path(made[0]["path"])) as engine:
        assert engine.generate(engine.prompt_tokens("a"), max_tokens=4, sampling=Sampling(temperature=0.0, seed=0)).finished().stats


def test_a_longer_run_begins_like_a_shorter_one_and_replay_is_drawn(train: Callable[..., Run], facts: Path, nano: Path) -> None:
    from edgetune.training.row_order import row_order

    assert row_order([[0, 7, 7]], 30, 3)[:20] == row_order([[0, 7, 7]], 20, 3)
    assert sorted(row_order([[0, 7, 7]], 14, 3)[7:]) == list(range(7))
    run = train("replayed", base="nano", data=str(facts), work=False, replay=str(nano / "replay.jsonl"), replay_ratio=0.5)
    request = run.request()
    (_, own, each), (start, drawn, replay_each) = request["groups"]
    assert each == own == start == replay_each and drawn == 3 * own
    both = row_order([[0, 4, 4], [4, 5, 2]], 12, 0)
    one, two = both[:6], both[6:]
    assert sorted(one) == [0, 1, 2, 3, 4, 5] and sorted(two) == [0, 1, 2, 3, 6, 7]
    assert sorted(row_order([[0, 3, 6]], 6, 0)) == [0, 0, 1, 1, 2, 2]  # a file of weight 2
    assert sorted(row_order([[0, 4, 2]], 4, 0)) == [0, 1, 2, 3]  # of weight 0.5: half a pass, then the other half


def test_early_stopping_keeps_the_best(train: Callable[..., Run], facts: Path) -> None:
    run = train(
        "early",
        base="nano",
        data=str(facts),
        max_steps=60,
        batch_size=8,
        gradient_accumulation=1,
        max_length=128,
        learning_rate=0.02,
        eval_steps=2,
        save_steps=50,
        early_stopping_patience=2,
        warmup_ratio=0.0,
    )
    state, events = launch.state(run), read_events(run.events)
    assert state.status == "finished" and state.step < 60
    final = events[-1]
    assert final["step"] == state.best_step
    assert not (run.folder / "stop").exists()
