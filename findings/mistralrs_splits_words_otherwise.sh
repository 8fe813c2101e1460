#!/usr/bin/env bash
# mistral.rs reads a SentencePiece BPE vocabulary of a GGUF as a unigram model, and so splits words otherwise than the model was trained on.
#
# Versions: mistralrs 0.9.5, llama-cpp-python 0.3.36 (the llama.cpp it carries), gguf 0.19.0, Python 3.11, Linux x86-64, CPU.
# Input: a valid GGUF of the llama architecture with a SentencePiece BPE vocabulary (tokenizer.ggml.model "llama"): a piece's score is its rank,
# as in Llama 2's files, and merging the best-ranked pair first is how the ids are defined.
# Expected: for "abcdef" the pieces "ab", "cd" and "ef", by merging "cd" (rank 0), then "ab" (rank 5) and "ef" (rank 6).
# Seen: llama.cpp gives that; mistral.rs looks for the pieces with the greatest sum of scores instead, and gives "abc" and "def" (its log says
# "kind: Unigram"). It also puts a space in front, though tokenizer.ggml.add_space_prefix is false.
# So a model of this kind (Llama 2, Mistral 7B, Gemma, Phi-3) gets prompts that it was not trained on, without a word.
#
# usage: bash findings/mistralrs_splits_words_otherwise.sh    (llama-cpp-python compiles for some minutes where pip has no wheel of it)
# Exit code 0: still so. 1: the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet "mistralrs==0.9.5" "llama-cpp-python==0.3.36" "gguf==0.19.0"

cat > try.py <<'PYTHON'
import sys

import gguf
import llama_cpp
import numpy as np
from mistralrs import ModelDType, Runner, Which

KINDS, WIDTH = gguf.TokenType, 256
PIECES = ["cd", "def", "abc", "bc", "de", "ab", "ef", "\u2581", *"abcdef"]  # by rank: the first is merged first

tokens = [("<unk>", KINDS.UNKNOWN, 0.0), ("<s>", KINDS.CONTROL, 0.0), ("</s>", KINDS.CONTROL, 0.0)]
tokens += [(f"<0x{byte:02X}>", KINDS.BYTE, 0.0) for byte in range(256)]
tokens += [(piece, KINDS.NORMAL, -float(rank)) for rank, piece in enumerate(PIECES)]
writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_name("small")
writer.add_block_count(1)
writer.add_context_length(64)
writer.add_embedding_length(WIDTH)
writer.add_feed_forward_length(WIDTH)
writer.add_head_count(4)
writer.add_head_count_kv(4)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(WIDTH // 4)
writer.add_vocab_size(len(tokens))
writer.add_file_type(gguf.LlamaFileType.ALL_F32)
writer.add_tokenizer_model("llama")
writer.add_token_list([text for text, _, _ in tokens])
writer.add_token_scores([score for _, _, score in tokens])
writer.add_token_types([kind for _, kind, _ in tokens])
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_unk_token_id(0)
writer.add_add_space_prefix(False)
writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
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

model = llama_cpp.Llama("model.gguf", vocab_only=True, verbose=False)
runner = Runner(which=Which.GGUF(quantized_model_id=".", quantized_filename="model.gguf", dtype=ModelDType.F32), token_source="none")
seen = {
    "llama.cpp": model.tokenize(b"abcdef", add_bos=False, special=True),
    "mistral.rs": list(runner.tokenize_text("abcdef", False, None)),
}
for program, ids in seen.items():
    print(f"{program}: {ids} {[tokens[number][0] for number in ids]}")
split = {program: [tokens[number][0] for number in ids] for program, ids in seen.items()}
sys.exit(0 if split == {"llama.cpp": ["ab", "cd", "ef"], "mistral.rs": ["\u2581", "abc", "def"]} else "The behavior has changed.")
PYTHON
venv/bin/python try.py > out.txt 2> errors.txt || { cat out.txt errors.txt; exit 1; }
grep -v INFO out.txt
echo "still so: the words are split otherwise"
