"""Build EdgeTune Nano from scratch: corpus, tokenizer, model, measurements, model card.

usage: python packaging/nano/build.py [--steps 5500] [--seed 7] [--out edgetune/bases/bundled/nano]

Needs torch, transformers and tokenizers (the development environment has them). About an hour on two cores; the same seed on the
same machine and versions gives the same model.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from corpus import conversation, held_out, statement
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

HERE = Path(__file__).parent
TEMPLATE = (HERE / "chat_template.jinja").read_text(encoding="utf-8")
VOCABULARY_SIZE = 2048
END_OF_TEXT = "<|endoftext|>"
START_OF_TURN = "<|im_start|>"
END_OF_TURN = "<|im_end|>"
# The pre-tokenizer expression of Qwen2, which llama.cpp knows as "qwen2" (src/llama-vocab.cpp).
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PROMPT_WEIGHT = 0.1
"""Weight of a prompt token's loss; an answer's token counts 1."""


def build_tokenizer(seed: int) -> Tokenizer:
    """Byte-level BPE over the corpus, as Qwen2 builds its own."""
    rng = random.Random(seed)
    texts = (m["content"] for _ in range(60_000) for m in conversation(rng))

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(QWEN2), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()

    special = [AddedToken(text, special=True, normalized=False) for text in (END_OF_TEXT, START_OF_TURN, END_OF_TURN)]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY_SIZE, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
        ),
    )
    return tokenizer


def encode(messages: list[dict[str, str]], tokenizer: Tokenizer) -> tuple[list[int], list[float]]:
    """Token ids of a ChatML conversation and the weight of each token's loss (the template's text, written directly)."""
    ids: list[int] = []
    weights: list[float] = []
    for message in messages:
        head = tokenizer.encode(f"{START_OF_TURN}{message['role']}\n").ids
        body = tokenizer.encode(f"{message['content']}{END_OF_TURN}").ids
        ids += head + body + tokenizer.encode("\n").ids
        weight = 1.0 if message["role"] == "assistant" else PROMPT_WEIGHT
        weights += [PROMPT_WEIGHT] * len(head) + [weight] * len(body) + [PROMPT_WEIGHT]
    return ids, weights


def training_batches(tokenizer: Tokenizer, rng: random.Random, tokens: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of rows of similar length, about `tokens` tokens each, padded on the right."""
    while True:
        pool = []
        for _ in range(1024):
            if rng.random() < 0.04:
                ids = tokenizer.encode(statement(rng) + END_OF_TEXT).ids
                pool.append((ids, [1.0] * len(ids)))
            else:
                ids, weights = encode(conversation(rng), tokenizer)
                pool.append((ids[:1024], weights[:1024]))

        # Rows of one length need no padding, so a batch is filled from neighbours.
        pool.sort(key=lambda row: len(row[0]))
        groups: list[list[tuple[list[int], list[float]]]] = []
        group: list[tuple[list[int], list[float]]] = []
        for row in pool:
            if group and len(row[0]) * (len(group) + 1) > tokens:
                groups.append(group)
                group = []
            group.append(row)
        groups.append(group)

        # Without this a pool would always be trained from its shortest rows to its longest.
        rng.shuffle(groups)
        for group in groups:
            width = max(len(ids) for ids, _ in group)
            padded = [row + [0] * (width - len(row)) for row, _ in group]
            weighted = [row + [0.0] * (width - len(row)) for _, row in group]
            yield torch.tensor(padded), torch.tensor(weighted)


def train_model(tokenizer: Tokenizer, steps: int, seed: int, tokens: int, peak: float) -> LlamaForCausalLM:
    """AdamW with a cosine, bf16 autocast where the processor has it; returns the model in fp32."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.token_to_id(END_OF_TURN),
        pad_token_id=tokenizer.token_to_id(END_OF_TEXT),
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )

    model = LlamaForCausalLM(config)

    # Norms are not decayed.
    decay = [p for p in model.parameters() if p.ndim > 1]
    no_decay = [p for p in model.parameters() if p.ndim == 1]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": no_decay, "weight_decay": 0.0}], lr=peak, betas=(0.9, 0.98)
    )

    stream = training_batches(tokenizer, random.Random(seed + 1), tokens)
    started = time.monotonic()
    tokens_seen = 0
    smooth_loss = 0.0
    for step in range(steps):
        rate = peak * min(1.0, (step + 1) / 150) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate

        ids, weights = next(stream)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids).logits

        losses = torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
        weight = weights[:, 1:].flatten()
        loss = (losses * weight).sum() / weight.sum()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

        tokens_seen += ids.numel()
        smooth_loss = float(loss.detach()) if step == 0 else 0.98 * smooth_loss + 0.02 * float(loss.detach())
        if step % 200 == 199:
            seconds = time.monotonic() - started
            print(f"step {step + 1}/{steps} loss {smooth_loss:.3f} {tokens_seen / seconds:.0f} tokens/s {seconds / 60:.1f} min", flush=True)

        if step % 1000 == 999:
            import measure

            print(measure.format_scores(measure.accuracy(model, tokenizer, held_out(random.Random(1)))), flush=True)
    return model


def save_model(model: LlamaForCausalLM, tokenizer: Tokenizer, out: Path) -> None:
    """A Hugging Face folder: bf16 weights, tokenizer, template."""
    out.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save(str(out / "tokenizer.json"))
    (out / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")

    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": END_OF_TURN,
        "pad_token": END_OF_TEXT,
        "unk_token": None,
        "add_bos_token": False,
        "model_max_length": 1024,
        "clean_up_tokenization_spaces": False,
    }
    (out / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=5500)
    parser.add_argument("--tokens", type=int, default=2048, help="tokens a step")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=HERE.parent.parent / "edgetune" / "bases" / "bundled" / "nano")
    options = parser.parse_args()

    started = time.monotonic()
    tokenizer = build_tokenizer(options.seed)
    model = train_model(tokenizer, options.steps, options.seed, options.tokens, options.rate)
    save_model(model, tokenizer, options.out)

    import measure

    measure.write_model_card(options.out, time.monotonic() - started, options.steps, options.seed)


if __name__ == "__main__":
    main()
