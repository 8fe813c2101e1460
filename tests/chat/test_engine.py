"""The llama.cpp process and its client, on a real model."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from edgetune.chat.engine import Engine
from edgetune.chat.sampling import Sampling
from edgetune.errors import EdgeTuneError, InputError

GREEDY = Sampling(temperature=0)


def test_greedy_text_is_the_published_one(stories_gguf: Path, stories_text: str) -> None:
    for kv in ("f16", "f32"):
        with Engine(stories_gguf, kv=kv) as engine:
            answer = engine.generate(engine.prompt_tokens(""), max_tokens=180, sampling=GREEDY).finished()
            assert answer.stats is not None and answer.stats.tokens == len(answer.tokens) == 180 and answer.stats.reason == "length"
            assert len(answer.text) > 400 and stories_text.startswith(answer.text.removeprefix(" "))


def test_second_turn_evaluates_only_new_tokens(engine: Engine) -> None:
    prompt = engine.prompt_tokens("One day, Tom and Lily")
    first = engine.generate(prompt, max_tokens=50, sampling=GREEDY).finished()
    second_prompt = prompt + first.tokens + engine.tokenize(" Then they went home.")
    second = engine.generate(second_prompt, max_tokens=20, sampling=GREEDY).finished()
    assert first.stats is not None and second.stats is not None
    assert (first.stats.reused, first.stats.evaluated) == (0, len(prompt))
    # The last token of the first answer was sampled but never evaluated.
    assert second.stats.reused == len(prompt) + 49
    assert second.stats.evaluated == len(second_prompt) - second.stats.reused
    with Engine(engine.path, n_ctx=4096) as fresh:
        assert fresh.generate(second_prompt, max_tokens=20, sampling=GREEDY).finished().text == second.text


def test_an_edited_prompt_forgets_what_no_longer_fits(engine: Engine) -> None:
    for text in ("Once upon a time there was a dog. The dog", "Once upon a time there was a cat. The cat", "Once"):
        tokens = engine.prompt_tokens(text)
        again = engine.generate(tokens, max_tokens=20, sampling=GREEDY).finished()
        with Engine(engine.path, n_ctx=4096) as fresh:
            assert fresh.generate(tokens, max_tokens=20, sampling=GREEDY).finished().text == again.text


def test_long_prompts_go_in_chunks(stories_gguf: Path) -> None:
    with Engine(stories_gguf, n_ctx=2048, kv="f32") as engine:
        tokens = engine.prompt_tokens("Once upon a time there was a little girl. " * 120)
        assert len(tokens) > 1024
        last = engine.logits(tokens, first=len(tokens) - 1)
        assert last.shape == (1, engine.info.n_vocab)
        assert engine.generate(tokens, max_tokens=1, sampling=GREEDY).finished().tokens == [int(last.argmax())]


def test_logits_equal_those_of_transformers(stories_gguf: Path, stories: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import LlamaForCausalLM

    torch.set_num_threads(1)
    model = LlamaForCausalLM.from_pretrained(stories, dtype=torch.float32)
    tokens = np.random.default_rng(0).integers(3, 512, 130).tolist()
    with torch.no_grad():
        reference = model(torch.tensor([tokens])).logits[0].double().log_softmax(-1)
    with Engine(stories_gguf, kv="f32") as engine:
        ours = torch.from_numpy(engine.logits(tokens).copy()).double().log_softmax(-1)
        score = engine.score([(tokens[:100], tokens[100:]), ([], tokens), (tokens, [])])
    assert (reference.exp() * (reference - ours)).sum(-1).mean() < 1e-9
    assert (reference.argmax(-1) == ours.argmax(-1)).all()
    picked = reference[:-1].gather(1, torch.tensor(tokens[1:])[:, None])
    assert score[0].count == 30 and abs(score[0].logprob - picked[99:].sum().item()) < 1e-3
    assert score[1].count == 129 and abs(score[1].logprob - picked.sum().item()) < 1e-3
    assert (score[2].logprob, score[2].count) == (0.0, 0)


def test_cancel_while_writing(engine: Engine) -> None:
    answer = engine.generate(engine.prompt_tokens("Once"), max_tokens=4000)
    for _ in answer:
        answer.cancel()
    assert answer.stats is not None and answer.stats.reason == "cancelled" and answer.stats.tokens < 3000
    assert engine.generate(engine.prompt_tokens("Once"), max_tokens=5).finished().stats is not None


def test_cancel_while_reading_the_prompt(engine: Engine) -> None:
    tokens = engine.prompt_tokens("The sun was very hot. " * 200)
    assert len(tokens) > 1500
    answer = engine.generate(tokens, max_tokens=10, sampling=GREEDY)
    answer.cancel()
    stats = answer.finished().stats
    assert stats is not None and stats.reason == "cancelled" and stats.tokens == 0
    again = engine.generate(tokens, max_tokens=10, sampling=GREEDY).finished()
    with Engine(engine.path, n_ctx=4096) as fresh:
        assert fresh.generate(tokens, max_tokens=10, sampling=GREEDY).finished().text == again.text


def test_leaving_the_loop_early_cancels(engine: Engine) -> None:
    for _ in engine.generate(engine.prompt_tokens("Once"), max_tokens=4000):
        break
    started = time.monotonic()
    assert engine.tokenize("Once")
    assert time.monotonic() - started < 0.5


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("name", ["SIGKILL", "SIGABRT", "SIGSEGV"])
def test_the_death_of_the_process_is_an_error(engine: Engine, name: str) -> None:
    with pytest.raises(EdgeTuneError) as caught:
        for _ in engine.generate(engine.prompt_tokens("Once"), max_tokens=4000):
            os.kill(engine.pid, getattr(signal, name))
    assert name in caught.value.cause and caught.value.remedy and caught.value.exit_code == 1
    assert not psutil.pid_exists(engine.pid), "a zombie stayed"
    with pytest.raises(EdgeTuneError):
        engine.tokenize("Once")


def test_a_question_between_is_answered_and_nothing_is_lost(engine: Engine) -> None:
    tokens = engine.prompt_tokens("Once")
    answer = engine.generate(tokens, max_tokens=500, sampling=GREEDY)
    assert engine.tokenize("Once") == tokens[1:]
    assert len(answer.finished().tokens) == 500


def test_nothing_stays_behind(stories_gguf: Path) -> None:
    with Engine(stories_gguf) as engine:
        pid = engine.pid
        assert psutil.pid_exists(pid)
    assert not psutil.pid_exists(pid)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_the_process_leaves_when_its_client_is_killed(stories_gguf: Path, environment: dict[str, str]) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from edgetune.chat.engine import Engine; engine = Engine(Path(sys.argv[1]));"
        "print(engine.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(stories_gguf)], env=environment, capture_output=True, check=False, timeout=30)
    child = int(done.stdout)
    deadline = time.monotonic() + 5
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_same_seed_writes_the_same_text(engine: Engine) -> None:
    tokens, sampling = engine.prompt_tokens("Once upon a time"), Sampling(temperature=1.0, seed=11)
    first = engine.generate(tokens, max_tokens=60, sampling=sampling).finished()
    with Engine(engine.path, n_ctx=4096) as other:
        assert other.generate(tokens, max_tokens=60, sampling=sampling).finished().text == first.text
    assert engine.generate(tokens, max_tokens=60, sampling=Sampling(temperature=1.0, seed=12)).finished().text != first.text
    drawn = engine.generate(tokens, max_tokens=60, sampling=Sampling(temperature=1.0)).finished()
    assert drawn.stats is not None
    assert engine.generate(tokens, max_tokens=60, sampling=Sampling(temperature=1.0, seed=drawn.stats.seed)).finished().text == drawn.text


def test_sampling_settings_do_what_they_say(engine: Engine) -> None:
    tokens = engine.prompt_tokens("Once upon a time")
    greedy = engine.generate(tokens, max_tokens=60, sampling=GREEDY).finished().text
    for settings in (Sampling(1.5, top_k=1), Sampling(1.5, top_k=0, top_p=1e-6), Sampling(1.5, top_k=0, top_p=1, min_p=1)):
        assert engine.generate(tokens, max_tokens=60, sampling=settings).finished().text == greedy
    penalized = engine.generate(tokens, max_tokens=300, sampling=Sampling(0, repeat_penalty=1.5)).finished().tokens
    plain = engine.generate(tokens, max_tokens=300, sampling=GREEDY).finished().tokens
    assert len(set(penalized)) > len(set(plain))


def test_stop_strings_and_stop_tokens(engine: Engine) -> None:
    tokens = engine.prompt_tokens("")
    whole = engine.generate(tokens, max_tokens=60, sampling=GREEDY).finished()
    stopped = engine.generate(tokens, max_tokens=60, sampling=GREEDY, stops=("loved to", "never comes")).finished()
    assert stopped.stats is not None and stopped.stats.reason == "stop"
    assert stopped.text == whole.text[: whole.text.index("loved to")]
    halted = engine.generate(tokens, max_tokens=60, sampling=GREEDY, stop_ids=(whole.tokens[10],)).finished()
    assert halted.stats is not None and halted.stats.reason == "end"
    assert halted.tokens == whole.tokens[: whole.tokens.index(whole.tokens[10])]


def test_a_full_context_ends_the_answer(stories_gguf: Path) -> None:
    with Engine(stories_gguf, n_ctx=40) as engine:
        answer = engine.generate(engine.prompt_tokens("Once"), max_tokens=1000, sampling=GREEDY).finished()
        assert answer.stats is not None and answer.stats.reason == "context"
        assert len(answer.tokens) + len(engine.prompt_tokens("Once")) == 41
        with pytest.raises(EdgeTuneError, match="longer than the context"):
            engine.generate([1] * 41, max_tokens=1).finished()


def test_bos_comes_once(engine: Engine) -> None:
    bos = engine.info.bos
    assert bos == 1 and engine.info.add_bos
    assert engine.prompt_tokens("") == [bos]
    assert engine.prompt_tokens("Hello") == [bos, *engine.tokenize("Hello")]
    assert engine.prompt_tokens("<s>Hello").count(bos) == 1


def test_bad_requests_are_refused_and_the_engine_lives_on(engine: Engine) -> None:
    for tokens in ([], [512], [-1]):
        with pytest.raises(EdgeTuneError):
            engine.generate(tokens, max_tokens=1).finished()
    for sampling in (
        Sampling(temperature=float("nan")),
        Sampling(top_p=0),
        Sampling(seed=2**32),
        Sampling(repeat_penalty=0),
        Sampling(top_k=-1),
        Sampling(min_p=2),
    ):
        with pytest.raises(InputError):
            engine.generate([1], max_tokens=1, sampling=sampling)
    with pytest.raises(InputError):
        engine.generate([1], max_tokens=0)
    assert engine.generate([1], max_tokens=1).finished().tokens


def test_bad_files_are_refused(tmp_path: Path, stories_gguf: Path) -> None:
    whole = stories_gguf.read_bytes()
    for name, content in (("empty", b""), ("text", b"hello, this is no model at all, only words"), ("cut", whole[: len(whole) // 2])):
        path = tmp_path / f"{name}.gguf"
        path.write_bytes(content)
        with pytest.raises(InputError):
            Engine(path)
    # Sound as a file, but of an architecture nobody knows: llama.cpp itself must refuse it.
    foreign = tmp_path / "foreign.gguf"
    foreign.write_bytes(whole.replace(b"llama", b"lemma"))
    with pytest.raises(EdgeTuneError, match="cannot load") as caught:
        Engine(foreign)
    assert "lemma" in caught.value.cause and caught.value.remedy
    with pytest.raises(InputError):
        Engine(stories_gguf, n_ctx=0)
