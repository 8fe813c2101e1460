#!/usr/bin/env bash
# One GGUF, one question: llama-server puts BOS in front of the prompt, llama-cpp-python's chat does not, though both are llama.cpp.
#
# Versions: llama-cpp-python 0.3.36, xllamacpp 2026.10.11549 (llama-server in Python), gguf 0.19.0, Python 3.11, Linux x86-64, CPU.
# Input: a valid GGUF with a SentencePiece vocabulary, tokenizer.ggml.add_bos_token = true, and a chat template that does not write BOS.
# Expected: the flag decides, so that the prompt of a chat is the rendered text with BOS in front: 6 tokens.
# Seen: 6 tokens in llama-server; 5 in llama-cpp-python's create_chat_completion, which takes for granted that a template writes BOS,
# while its own tokenize() gives 6 for the same text.
#
# usage: bash findings/chat_prompt_without_bos.sh    (llama-cpp-python compiles for some minutes where pip has no wheel of it)
# Exit code 0: still so. 1: the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet "llama-cpp-python==0.3.36" "xllamacpp==2026.10.11549" "gguf==0.19.0"

cat > try.py <<'PYTHON'
import sys

import gguf
import numpy as np

KINDS, WIDTH = gguf.TokenType, 256
TEMPLATE = "{% for m in messages %}<|user|>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
tokens = [("<unk>", KINDS.UNKNOWN), *((mark, KINDS.CONTROL) for mark in ("<s>", "</s>", "<|user|>", "<|assistant|>"))]
tokens += [(f"<0x{byte:02X}>", KINDS.BYTE) for byte in range(256)]
tokens += [(piece, KINDS.NORMAL) for piece in ("\u2581", "h", "i")]
writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_name("small")
writer.add_block_count(1)
writer.add_context_length(512)
writer.add_embedding_length(WIDTH)
writer.add_feed_forward_length(WIDTH)
writer.add_head_count(4)
writer.add_head_count_kv(4)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(WIDTH // 4)
writer.add_vocab_size(len(tokens))
writer.add_file_type(gguf.LlamaFileType.ALL_F32)
writer.add_tokenizer_model("llama")
writer.add_token_list([text for text, _ in tokens])
writer.add_token_scores([-float(rank) for rank in range(len(tokens))])
writer.add_token_types([kind for _, kind in tokens])
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_unk_token_id(0)
writer.add_add_bos_token(True)
writer.add_chat_template(TEMPLATE)
random = np.random.default_rng(0)
for name in ("token_embd", "output"):
    writer.add_tensor(f"{name}.weight", random.normal(size=(len(tokens), WIDTH)).astype(np.float32))
for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
    writer.add_tensor(f"blk.0.{name}.weight", random.normal(size=(WIDTH, WIDTH)).astype(np.float32) * 0.05)
for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
    writer.add_tensor(f"{name}.weight", np.ones(WIDTH, np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

# One question, through each program's own chat.
messages = [{"role": "user", "content": "hi"}]
if sys.argv[1] == "llama-server":
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path, params.n_ctx, params.n_parallel, params.use_jinja, params.port = "model.gguf", 256, 1, True, 0
    server = xllamacpp.Server(params)
    reply = server.handle_chat_completions({"messages": messages, "max_tokens": 1})
else:
    import llama_cpp

    model = llama_cpp.Llama("model.gguf", n_ctx=256, verbose=False)
    reply = model.create_chat_completion(messages, max_tokens=1)
    print("the rendered text as tokens:", model.tokenize(b"<|user|>hi<|assistant|>", special=True))
    print("tokens in the context:", model.input_ids[:5].tolist(), "...")
counted = reply["usage"]["prompt_tokens"]
print(f"{sys.argv[1]}: {counted} tokens in the prompt")
sys.exit(0 if counted == {"llama-server": 6, "llama-cpp-python": 5}[sys.argv[1]] else "The behavior has changed.")
PYTHON
for program in llama-server llama-cpp-python; do
    venv/bin/python try.py "$program" 2> errors.txt || { tail -20 errors.txt; exit 1; }
done
echo "still so: the same file and question, two prompts"
