"""What other programs make of an exported file: the prompt they send, where they stop, and what they answer.

Where a program is known to differ, the difference is held here too, so that docs/other-programs.md is renewed when it changes.
"""

import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edgetune.bases.tokenizer import load_tokenizer
from edgetune.data.template import today
from tests.gguf.programs.conftest import ASKED, CONVERSATIONS, LIMIT, PROGRAMS, TALKING, Asked, Exported, ask_llama_server
from tests.gguf.programs.talking import ANSWER, RUN_ON, make_talking

pytestmark = pytest.mark.runtimes
Ask = Callable[[str], dict[str, list[Asked]]]
Call = Callable[..., tuple[int, str, str]]

NO_BOS = "BOS is left out where the template does not write it"
PIECES = "BOS is left out where the template does not write it, and messages are tokenized apart from the marks around them"
THOUGHT = "an empty thought is put before the answer"
UNIGRAM = "a SentencePiece vocabulary is read as a unigram model, so that words are split otherwise"
OTHER_PROMPTS = {
    ("llama-cpp-python", "granite3"): NO_BOS,
    ("llama-cpp-python", "phi3.5"): NO_BOS,
    ("node-llama-cpp", "granite3"): PIECES,
    ("node-llama-cpp", "phi3.5"): PIECES,
    ("node-llama-cpp", "nemo"): PIECES,
    ("node-llama-cpp", "smollm3"): PIECES,
    ("node-llama-cpp", "qwen3"): THOUGHT,
    ("mistralrs", "gemma2"): UNIGRAM,
    ("mistralrs", "granite3"): UNIGRAM,
    ("mistralrs", "nemo"): UNIGRAM,
    ("mistralrs", "phi3.5"): UNIGRAM,
}
"""Programs that send another prompt than `edgetune chat` for a model's template and vocabulary, and how."""
RUNS_ON = {("mistralrs", "unknown-end")}
"""Programs that do not stop at the end of the turn: mistral.rs reads the file's EOS, and not its end of turn."""


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", TALKING)
def test_it_stops_at_the_end_of_the_turn(name: str, program: str, ask: Ask) -> None:
    for answer in ask(program)[name]:
        if (program, name) in RUNS_ON:
            assert answer.ended == "length" and answer.text.startswith(ANSWER)
        else:
            assert answer.text.strip() == ANSWER and answer.ended in ("stop", "eogToken")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("name", [*TALKING, "nano"])
def test_its_prompt_is_that_of_chat(name: str, program: str, ask: Ask, exported: dict[str, Exported]) -> None:
    model = exported[name]
    differs = OTHER_PROMPTS.get((program, name))
    pairs = [(model.prompt(messages), answer.prompt) for messages, answer in zip(model.conversations, ask(program)[name], strict=True)]
    assert len(pairs) >= 2
    if differs is None:
        assert [theirs for _, theirs in pairs] == [ours for ours, _ in pairs]
        return
    assert any(ours != theirs for ours, theirs in pairs), f"no longer so: {differs}"
    for ours, theirs in pairs:
        if differs == NO_BOS:
            assert [model.tokenizer.bos_id, *theirs] == ours
        elif differs == PIECES:
            assert letters(model, theirs) == letters(model, ours)
        elif differs == THOUGHT:
            assert theirs == [*ours, *model.tokenizer.plain("<think>\n\n</think>\n\n")]


def letters(model: Exported, ids: list[int]) -> str:
    """The text of a prompt without BOS and white space."""
    text = model.tokenizer.inner.decode(ids, skip_special_tokens=False)
    return "".join(text.removeprefix(model.tokenizer.template.bos_token).split())


@pytest.fixture(scope="session")
def greedy_answers(exported: dict[str, Exported], nano: Path) -> list[str]:
    """transformers' greedy answers of the bundled model in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model = exported["nano"]
    loaded = AutoModelForCausalLM.from_pretrained(nano, dtype=torch.float32)
    answers = []
    for messages in model.conversations:
        ids = model.prompt(messages)
        whole = loaded.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=LIMIT)
        answers.append(model.tokenizer.decode(whole[0, len(ids) :].tolist()))
    return answers


@pytest.mark.parametrize("program", PROGRAMS)
def test_its_greedy_answers_are_those_of_transformers(program: str, ask: Ask, greedy_answers: list[str]) -> None:
    """The bundled model, which is a real one: what it says depends on all that it was asked."""
    assert [answer.text for answer in ask(program)["nano"]] == greedy_answers
    assert len(set(greedy_answers)) > len(ASKED)


def test_the_folder_for_llama_server_holds_in_it(edgetune: Call, exported: dict[str, Exported], nano: Path, tmp_path: Path) -> None:
    """With the script's own arguments: a template whose date is written out, and turns that end in plain text, which no file can name."""
    plain = tmp_path / "plain"
    plain.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(nano / name, plain / name)
    turns = "{% for m in messages %}({{ m.role }}) {{ m.content }};\n{% endfor %}"
    (plain / "chat_template.jinja").write_text(turns + "{% if add_generation_prompt %}(assistant){% endif %}")
    (plain / "config.json").write_text('{"model_type": "llama"}')
    tokenizer = load_tokenizer(plain, today())
    answer, end, onward = (tokenizer.plain(text) for text in (f" {ANSWER}", ";\n", RUN_ON))
    make_talking(plain, answer, end, onward, tokenizer.inner.get_vocab_size(), eos_token_id=tokenizer.eos_id)

    dated = exported["llama3.2"]
    for folder, conversations in ((plain, list(CONVERSATIONS[:2])), (dated.tokenizer.folder, dated.conversations)):
        out = tmp_path / f"out-{folder.name}"
        assert edgetune("export", folder, "--type", "F16", "--out", out, "--for", "llama-server")[0] == 0
        (written,) = out.glob("*-llama-server")
        command = shlex.split((written / "serve.sh").read_text(encoding="utf-8").splitlines()[-1])
        request = {"gguf": "", "arguments": command[2:-1], "conversations": conversations, "limit": LIMIT}
        (answers,) = ask_llama_server([request], written)
        assert [(answer["text"].strip(), answer["ended"]) for answer in answers] == [(ANSWER, "stop")] * len(conversations)
        known = load_tokenizer(folder, today())
        assert [answer["prompt"] for answer in answers] == [known.encode(known.template.render(each, True)) for each in conversations]
        if folder == plain:  # the file alone does not say it
            (bare,) = ask_llama_server([{**request, "gguf": str(next(out.glob("*.gguf"))), "arguments": []}])
            assert bare[0]["ended"] == "length"
