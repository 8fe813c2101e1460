"""transformers' own reader of GGUF files: the same ids, logits and answers, for the architectures and vocabularies that it reads.

Where it is known to differ, the difference is held here too, so that docs/other-programs.md is renewed when it changes.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.gguf.programs.conftest import LIMIT, QUESTION, Exported
from tests.gguf.programs.talking import ANSWER

pytestmark = [pytest.mark.runtimes, pytest.mark.filterwarnings("ignore")]
SENTENCEPIECE = ("gemma2", "granite3", "nemo", "phi3.5")


def read_tokenizer(model: Exported) -> Any:
    """The tokenizer in a file."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model.gguf.parent, gguf_file=model.gguf.name)


def read_model(model: Exported) -> Any:
    """The weights in a file, in float32."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(model.gguf.parent, gguf_file=model.gguf.name, dtype=torch.float32).eval()


@pytest.mark.parametrize("name", ["llama3.2", "qwen2.5", "unknown-end", "nano"])
def test_its_prompt_is_that_of_chat(name: str, exported: dict[str, Exported]) -> None:
    model = exported[name]
    tokenizer = read_tokenizer(model)
    for messages in model.conversations:
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert ids == model.prompt(messages)


@pytest.mark.parametrize("name", SENTENCEPIECE)
def test_a_sentencepiece_vocabulary_loses_the_space_after_a_mark(name: str, exported: dict[str, Exported]) -> None:
    model = exported[name]
    ids = read_tokenizer(model).apply_chat_template([QUESTION], add_generation_prompt=True, return_dict=False)
    ours = model.prompt([QUESTION])
    assert ids != ours
    text, expected = (model.tokenizer.inner.decode(each, skip_special_tokens=False) for each in (ids, ours))
    assert "".join(text.split()) == "".join(expected.removeprefix("" if text.startswith("<s>") else "<s>").split())


def test_its_answers_are_those_of_the_model_that_was_exported(exported: dict[str, Exported], nano: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    model = exported["nano"]
    theirs, ours = read_model(model), AutoModelForCausalLM.from_pretrained(nano, dtype=torch.float32).eval()
    for messages in model.conversations:
        ids = torch.tensor([model.prompt(messages)])
        with torch.no_grad():
            difference = (theirs(ids).logits - ours(ids).logits).abs().max()
        assert float(difference) < 1e-3
        answers = [each.generate(ids, do_sample=False, max_new_tokens=LIMIT)[0].tolist() for each in (theirs, ours)]
        assert answers[0] == answers[1]


def test_it_stops_at_the_files_eos_alone(exported: dict[str, Exported]) -> None:
    import torch

    model = exported["unknown-end"]
    read, ids = read_model(model), model.prompt([QUESTION])
    end = model.tokenizer.specials["<|fin|>"]
    for stops, ended in (({}, False), ({"eos_token_id": [model.tokenizer.eos_id, end]}, True)):
        whole = read.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=LIMIT, **stops)[0].tolist()
        assert model.tokenizer.decode(whole[len(ids) :]).startswith(ANSWER)
        assert (whole[-1] == end) == ended and (len(whole) == len(ids) + LIMIT) != ended
