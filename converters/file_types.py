"""The types a GGUF can be written as, by the names that people give them."""

FILE_TYPES = {
    "F32": (0, "F32"),
    "F16": (1, "F16"),
    "BF16": (32, "BF16"),
    "Q8_0": (7, "Q8_0"),
    "Q6_K": (18, "Q6_K"),
    "Q5_K_M": (17, "Q5_K"),
    "Q5_K_S": (16, "Q5_K"),
    "Q4_1": (3, "Q4_1"),
    "Q4_K_M": (15, "Q4_K"),
    "Q4_K_S": (14, "Q4_K"),
    "Q4_0": (2, "Q4_0"),
    "IQ4_NL": (25, "IQ4_NL"),
    "IQ4_XS": (30, "IQ4_XS"),
    "Q3_K_M": (12, "Q3_K"),
    "Q2_K": (10, "Q2_K"),
}
"""What a user asks for, the largest first: the file's type number (include/llama.h, llama_ftype) and the type most of its tensors get.
None of them requires an importance matrix (src/llama-quant.cpp, `tensor_requires_imatrix`)."""
UNQUANTIZED = ("F32", "F16", "BF16")
"""Types that are not quantized."""
