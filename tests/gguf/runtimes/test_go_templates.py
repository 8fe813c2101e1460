"""The Go templates written for Ollama: Go's own text/template gives what Jinja gives, for real chat templates and many conversations."""

import random
from pathlib import Path
from typing import Any

import pytest

from edgetune.bases import tokenizer as tokenizers
from edgetune.data.template import CHATML_TEMPLATE, PLAIN_TEMPLATE, ChatTemplate, TemplateRefusal, today
from edgetune.errors import InputError
from edgetune.gguf.runtimes.go import evaluate
from edgetune.gguf.runtimes.go.reference import Message, Reference
from edgetune.gguf.runtimes.go.template import go_template
from edgetune.gguf.runtimes.go.verify import MESSAGE_TEXTS, conversations, go_data, join_neighbours, verify
from tests.data.conftest import FAMILIES, make_family
from tests.fixtures.real import chat_template
from tests.gguf.runtimes.conftest import GoRender

MARKS = ("/no_think", "/think", "<think>\nlong\n</think>\n\n", "</think>", "<tool_response>x</tool_response>", "[/INST]")
PIECES = (*MESSAGE_TEXTS, *MARKS, "\n", " ", "北")
ROLES = (("user",), ("user", "assistant"), ("user", "assistant", "user"), ("user", "assistant") * 2, ("user", "user", "assistant", "user"))
LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set system = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{% if loop.index0 == 0 and system != false %}{% set content = '<<SYS>>\\n' + system + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}"
    "{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
)


def source_of(name: str) -> str:
    """A template by name: ours, or a real one."""
    own = {"chatml": CHATML_TEMPLATE, "plain": PLAIN_TEMPLATE}
    return own[name] if name in own else chat_template(FAMILIES[name].template).read_text(encoding="utf-8")


def drawn(seed: int) -> list[Message]:
    """A random conversation as Ollama hands it on."""
    chance = random.Random(seed)

    def text() -> str:
        return "".join(chance.choices(PIECES, k=chance.randint(1, 3)))

    system = [{"role": "system", "content": text()}] if chance.random() < 0.5 else []
    return join_neighbours([*system, *({"role": role, "content": text()} for role in chance.choice(ROLES))])


def as_go(messages: list[Message], off: bool) -> dict[str, Any]:
    """A case for the Go program."""
    rows = [{"Role": m["role"], "Content": m["content"], "Thinking": m.get("reasoning_content", "")} for m in messages]
    return {"Messages": rows, "Think": False, "IsThinkSet": off}


@pytest.mark.parametrize("name", [*FAMILIES, "chatml", "plain"])
def test_go_gives_what_jinja_gives(name: str, go_render: GoRender) -> None:
    reference = Reference(ChatTemplate(source_of(name), "<s>", "</s>", "2026-11-24"), True)
    source, _ = go_template(reference)
    cases: list[tuple[list[Message], bool, str]] = []
    for off in (False, True) if reference.switch else (False,):
        for messages in (*conversations(reference.template.source), *map(drawn, range(400))):
            try:
                cases.append((messages, off, reference.render(messages, off)))
            except TemplateRefusal:
                continue
    assert len(cases) > 150
    results = go_render(source, [as_go(messages, off) for messages, off, _ in cases])
    ours = evaluate.Template(source)
    refused = 0
    for (messages, off, expected), result in zip(cases, results, strict=True):
        if result["error"]:
            refused += 1
            assert "in a message another meaning" in result["error"], messages
            assert name == "qwen3", messages  # what cannot be written is refused: a question that is a tool's result, an answer begun so
            begun = messages[-1]["role"] == "assistant" and "</think>" in messages[-1]["content"]
            assert begun or any(m["content"].startswith("<tool_response>") for m in messages if m["role"] == "user"), messages
            with pytest.raises(evaluate.GoError):
                ours.render(go_data(messages, off))
        else:
            assert result["text"] == expected, messages
            assert ours.render(go_data(messages, off)) == result["text"], messages
    assert refused < len(cases) / 10


@pytest.mark.parametrize("name", FAMILIES)
def test_prompts_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    """The texts Go is held against: questions to be answered, and answers that are begun."""
    from transformers import AutoTokenizer

    folder = make_family(tmp_path / name, name)
    ours, theirs = tokenizers.load_tokenizer(folder, today()), AutoTokenizer.from_pretrained(folder)
    reference = Reference(ours.template, False)
    compared = 0
    for messages in map(drawn, range(60)):
        begun = messages[-1]["role"] == "assistant"
        if begun:  # an answer begun with white space is cut elsewhere by transformers
            messages = [*messages[:-1], {**messages[-1], "content": messages[-1]["content"].strip() or "Well"}]
        try:
            text = reference.render(messages)
        except TemplateRefusal:
            continue
        options = {"continue_final_message": True} if begun else {"add_generation_prompt": True}
        assert theirs.apply_chat_template(messages, tokenize=False, **options) == text, messages
        compared += 1
    assert compared > 15


def test_a_system_message_in_the_first_question(go_render: GoRender) -> None:
    """Llama 2's way, with texts around each question and the system message inside the first."""
    source = LLAMA_2.replace("content.strip()", "content")
    reference = Reference(ChatTemplate(source, "<s>", "</s>", "2026-11-24"), True)
    go, verdict = go_template(reference)
    assert verdict.compared > 50
    messages = [{"role": r, "content": c} for r, c in (("system", "Be brief."), ("user", "Hi"), ("assistant", "Yes?"), ("user", "Why"))]
    assert go_render(go, [as_go(messages, False)])[0]["text"] == reference.render(messages)


def test_a_template_takes_no_system_message_and_says_so(go_render: GoRender) -> None:
    source, _ = go_template(Reference(ChatTemplate(source_of("gemma2"), "<s>", "</s>", "2026-11-24"), True))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    assert "chat template accepts no system message" in go_render(source, [as_go(messages, False)])[0]["error"]


def test_a_long_text_is_searched(go_render: GoRender) -> None:
    """Templates that go through a text by calling themselves or by loops in loops must not give up on a long one."""
    reference = Reference(ChatTemplate(source_of("qwen3"), "<s>", "</s>", "2026-11-24"), True)
    source, _ = go_template(reference)
    answer = "<think>\n" + "a long thought. " * 2000 + "\n</think>\n\n" + "The answer. " * 500
    messages = [{"role": r, "content": c} for r, c in (("user", "Hi"), ("assistant", answer), ("user", "Why"))]
    (result,) = go_render(source, [as_go(messages, False)])
    assert result == {"text": reference.render(messages), "error": ""}


@pytest.mark.parametrize("bos_by_tokenizer", [True, False])
def test_bos_is_written_once(bos_by_tokenizer: bool, go_render: GoRender) -> None:
    """Llama 3.2's template writes BOS; where the tokenizer adds one too, the Go template must not."""
    source, _ = go_template(Reference(ChatTemplate(source_of("llama3.2"), "<s>", "</s>", "2026-11-24"), bos_by_tokenizer))
    (result,) = go_render(source, [as_go([{"role": "user", "content": "Hi"}], False)])
    assert result["text"].count("<s>") == (0 if bos_by_tokenizer else 1)
    assert "Today Date: 24 Nov 2026" in result["text"]


@pytest.mark.parametrize(
    ("template", "cause"),
    [
        ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "leaves messages out"),
        ("{% for m in messages %}[{{ loop.index }}]{{ m.content }}{% endfor %}", "otherwise"),
        ("{% for m in messages %}<{{ m.role }}>{{ m.content | replace('ß', 'ss') }}{% endfor %}<a>", "where the chat template writes"),
        ("{% for m in messages %}<{{ m.role }}>{{ m.content | title }}{% endfor %}<a>", "leaves messages out"),
        ("{{ messages[0].content }}", "leaves messages out"),
        ("{{ raise_exception('never') }}", "refuses an ordinary conversation"),
    ],
)
def test_what_cannot_be_matched_is_refused_by_name(template: str, cause: str) -> None:
    with pytest.raises(InputError) as refused:
        go_template(Reference(ChatTemplate(template, "<s>", "</s>", "2026-11-24"), True))
    assert cause in refused.value.cause
    assert "--for llama-server" in refused.value.remedy


@pytest.mark.parametrize("change", [("<|im_end|>", "<|im_start|>"), ("user", "usr"), ("$last", "true"), ("eq $i 0", "eq $i 1")])
def test_verification_sees_a_wrong_template(change: tuple[str, str]) -> None:
    reference = Reference(ChatTemplate(source_of("qwen2.5"), "<s>", "</s>", "2026-11-24"), True)
    source, _ = go_template(reference)
    assert verify(source.replace(*change), reference).difference


@pytest.mark.parametrize(
    "source",
    [
        '{{- $a := "x" }}{{ if eq $a "x" }} 1 {{- else }}2{{ end }}',
        '{{ define "t" }}{{ if . }}{{ slice . 0 1 }}.{{ template "t" (slice . 1) }}{{ end }}{{ end }}{{ template "t" "abc" }}',
        "{{ range $i, $m := .Messages }}{{ $i }}{{ $m.Role }}{{ len .Content }}{{ end }}",
        '{{ $n := false }}{{ range .Messages }}{{ $n = true }}{{ end }}{{ if and $n (not .Think) (ge (len .Messages) 2) }}"{{ end }}',
        '"\\u00e9{{ "\\u00e9\\x1c}}\\"" }}',
        '{{ template "no such thing" . }}',
        '{{ slice "ab" 3 }}',
        '{{ print "a" (slice "éa" 0 1) "b" }}{{- /* a comment */ -}} \n {{- " }} " -}} \n',
    ],
)
def test_the_evaluator_is_go(source: str, go_render: GoRender) -> None:
    messages = [{"role": "user", "content": "ü"}, {"role": "assistant", "content": ""}]
    (theirs,) = go_render(source, [as_go(messages, False)])
    try:
        ours = evaluate.Template(source).render(go_data(messages, False))
    except evaluate.GoError:
        assert theirs["error"]
    else:
        assert (theirs["text"], theirs["error"]) == (ours, "")
