"""Every option of a run, declared once: it renders as TOML key, command-line flag and form field."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from edgetune.errors import InputError
from edgetune.text import one_line

PRESETS = ("quick", "balanced", "careful", "pairs-50", "pairs-200", "pairs-1000")


Method = Literal["sft", "dpo", "orpo", "simpo", "cpo", "kto", "reward", "rl"]


def _option(default: Any, help: str, why: str = "", flag: str = "", of: tuple[str, ...] = (), **bounds: Any) -> Any:
    """A field with its one-line help and the reason to change it.

    flag: its name on the command line, where it is another. of: the methods that use it, where not all do.
    """
    extra: dict[str, Any] = {"why": why} | ({"flag": flag} if flag else {}) | ({"of": list(of)} if of else {})
    return Field(default=default, description=help, json_schema_extra=extra, **bounds)


class Recipe(BaseModel):
    """What a run does. Defaults are the balanced preset's; every other source overrides them."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    base: str = _option(
        "", "folder of the base model (Hugging Face layout, safetensors), or 'nano' for the bundled one", "the model you start from"
    )
    data: list[str] = _option(
        [],
        "file or folder of examples (.jsonl .json .csv .parquet .txt .pdf …), or the name of votes (prefs); FILE:2 counts twice",
        "what the model will learn",
    )
    validation: list[str] = _option([], "file of examples held out to measure on, instead of a share", "when you have a split of your own")
    format: str = _option("auto", "shape of the examples; 'auto' looks at them", "set it when the shape is mistaken")
    map: list[str] = _option([], "columns under other names: instruction=question,output=answer", "when the columns have names of your own")
    from_run: str = _option(
        "", "earlier run to go on from: its adapter stays as it is and a new one is put on it", "the step after sft is usually dpo", "from"
    )
    method: Method = _option(
        "sft", "training method", "sft teaches answers from examples; the others a taste, from better and worse answers"
    )
    loss: Literal["sigmoid", "ipo", "robust", "apo_zero", "apo_down", "sigmoid_norm"] = _option(
        "sigmoid",
        "dpo: how pairs pull",
        "sigmoid is plain DPO; ipo does not run away on pairs that are never in doubt; robust expects some wrong votes; apo_zero raises "
        "chosen answers, apo_down lowers both where the model is better than they are; sigmoid_norm counts every token alike, so that "
        "length says nothing",
        of=("dpo",),
    )
    beta: float | None = _option(
        None,
        "how close to the model before training to stay (default: 0.1, simpo 2, rl 0.05)",
        "high: small, safe changes; low: stronger ones that may cost what the model knows. For orpo the weight of the preference beside "
        "the answers, for simpo the scale of the mean log-probability",
        gt=0,
        le=100,
        of=("dpo", "orpo", "simpo", "cpo", "kto", "rl"),
    )
    sft_weight: float = _option(
        0.0, "dpo: weight of learning the chosen answers themselves", "0.3 keeps them likely and guards facts", ge=0, le=100, of=("dpo",)
    )
    label_smoothing: float = _option(
        0.0, "dpo with loss robust, cpo: share of votes thought wrong", "0.1 when votes waver", ge=0, lt=0.5, of=("dpo", "cpo")
    )
    gamma: float = _option(0.5, "simpo: margin by which the chosen answer should win", "more pulls harder", ge=0, le=100, of=("simpo",))
    quantization: Literal["nf4", "int8", "none"] = _option(
        "nf4", "how the frozen base is held in memory while training", "nf4 needs a quarter of the memory; none is exact"
    )
    reward: list[str] = _option(
        [],
        "rl: what to strive for; several add up: model:RUN, exact, regex:PATTERN, json_schema:FILE, length:TOKENS, python_file:FILE",
        "a reward run stands for a person's taste; the others are checked by rule",
        of=("rl",),
    )
    algorithm: Literal["rloo", "grpo"] = _option(
        "rloo", "rl: how rewards become gradients", "rloo is simpler; grpo scales by the spread within a prompt's answers", of=("rl",)
    )
    answers_each: int = _option(
        4, "rl: answers sampled to each prompt", "more tell better from worse more surely, and cost time", ge=2, le=64, of=("rl",)
    )
    answer_tokens: int = _option(128, "rl: longest sampled answer in tokens", "time grows with it", ge=1, le=8192, of=("rl",))
    temperature: float = _option(1.0, "rl: temperature of sampling", "answers that are all alike teach nothing", gt=0, le=2, of=("rl",))
    kl_limit: float = _option(
        0.5,
        "rl: stop when the model is further from the one before than so many nats a token",
        "a guard against hacked rewards",
        gt=0,
        le=100,
        of=("rl",),
    )
    lora: bool = _option(True, "train a LoRA adapter; off trains every weight", "off needs about ten times the memory")
    rank: int = _option(16, "LoRA rank", "higher learns more and forgets more", ge=1, le=1024)
    alpha: float = _option(32.0, "LoRA alpha: the adapter counts alpha / rank times", "usually once or twice the rank", gt=0, le=4096)
    dropout: float = _option(0.0, "LoRA dropout", "0.05 to 0.1 holds back learning by heart on few rows", ge=0, lt=1)
    targets: list[str] = _option(["all-linear"], "layers that get an adapter", "all-linear learns best; q_proj and v_proj are smallest")
    rslora: bool = _option(False, "scale by alpha / sqrt(rank)", "steadier at ranks above 64")
    dora: bool = _option(False, "train magnitude and direction apart (DoRA)", "a little better at small ranks, slower")
    learning_rate: float | None = _option(
        None, "peak learning rate (default: by the base's size)", "lower when the loss jumps, higher when it hardly moves", gt=0, le=1
    )
    schedule: Literal["cosine", "linear", "constant"] = _option("cosine", "how the learning rate falls", "cosine suits nearly everything")
    warmup: float = _option(
        0.03, "share of the steps in which the learning rate rises", "more when the first steps are rough", ge=0, le=0.5
    )
    weight_decay: float = _option(0.0, "AdamW weight decay", "0.01 to 0.1 for full fine-tuning", ge=0, le=1)
    max_grad_norm: float = _option(1.0, "gradients are clipped to this norm", "guards against single bad batches", gt=0, le=1000)
    batch: int = _option(4, "rows per step and accumulation", "lower when memory is short", ge=1, le=4096)
    accumulation: int = _option(4, "batches added up before each update", "raise it when you lower the batch", ge=1, le=4096)
    length: int = _option(1024, "longest row in tokens", "memory grows with it", ge=8, le=1_048_576)
    long: Literal["drop", "truncate", "split"] = _option(
        "drop", "rows over the length: left out, cut so that the answer stays, or split at turns", "each is counted and listed"
    )
    answers: Literal["all", "last"] = _option("all", "answers of a conversation that are trained on", "last, when earlier ones are context")
    packing: bool = _option(False, "put several short rows into one", "faster when rows are short", of=("sft",))
    epochs: float = _option(3.0, "passes over the examples", "more for few rows, fewer for many", gt=0, le=1000)
    steps: int | None = _option(None, "number of updates instead of epochs", "an exact length", ge=1, le=10_000_000)
    eval_share: float = _option(0.1, "share of the rows held out to measure on", "never trained on", ge=0, le=0.5)
    eval_every: int | None = _option(None, "evaluate after so many steps (default: ten times a run)", "each evaluation takes time", ge=1)
    save_every: int | None = _option(None, "checkpoint after so many steps (default: ten times a run)", "what a power cut can cost", ge=1)
    replay: str | None = _option(None, "second file, of what the base should not forget", "keeps old skills", of=("sft",))
    replay_share: float = _option(0.25, "share of the rows drawn from the replay file", "more forgets less", gt=0, lt=1, of=("sft",))
    keep_best: bool = _option(True, "the result is the checkpoint with the lowest held-out loss", "guards against training too long")
    patience: int | None = _option(None, "stop after so many evaluations without improvement", "saves time", ge=1)
    gradient_checkpointing: bool = _option(False, "recompute activations instead of keeping them", "less memory, about a third slower")
    seed: int = _option(0, "seed of everything random", "another seed, another draw", ge=0, le=2**31 - 1)
    data_seed: int = _option(
        0, "seed of the split and the order of the rows", "keep it to compare runs on the same split", ge=0, le=2**31 - 1
    )
    device: Literal["auto", "cpu", "cuda", "mps", "xpu"] = _option("auto", "where to train", "auto takes the best that is there")
    threads: int | None = _option(
        None, "processor threads (default: one for tiny models, else all cores)", "the same number gives the same bits", ge=1, le=1024
    )

    @field_validator("data", "validation", "map", "targets", "reward", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        from edgetune.data.formats import ORDER

        if value not in ("auto", *ORDER):
            raise ValueError(f"known shapes are auto, {', '.join(ORDER)}")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        if not self.lora and self.quantization != "none":
            raise ValueError("full fine-tuning (lora off) needs quantization 'none': packed weights cannot be trained")
        if self.dora and not self.lora:
            raise ValueError("dora needs lora on")
        if self.method != "sft":
            if not self.lora:
                raise ValueError(f"method {self.method} trains a LoRA adapter: with lora off it would need a second model in memory")
            for name in ("packing", "replay"):
                if getattr(self, name):
                    raise ValueError(f"{name} goes with method sft, not with {self.method}")
        if self.method == "kto" and self.batch < 2:
            raise ValueError("method kto needs batch 2 or more: it holds every answer against another prompt's")
        if self.method == "rl" and self.batch * self.accumulation % self.answers_each:
            raise ValueError(
                f"batch times accumulation must be a multiple of answers_each ({self.answers_each}): a prompt's answers go together"
            )
        if self.reward and self.method != "rl":
            raise ValueError(f"reward goes with method rl, not with {self.method}")
        if self.method in ("dpo", "kto", "rl") and "lm_head" in self.targets:
            raise ValueError(f"method {self.method} cannot train an adapter on lm_head; leave it out of targets")
        if self.label_smoothing and self.method == "dpo" and self.loss != "robust":
            raise ValueError("label_smoothing goes with loss robust")
        return self


ADAPTER = ("rank", "alpha", "dropout", "targets", "rslora", "dora")
"""Options of the LoRA adapter."""


def used(name: str, method: str, lora: bool = True) -> bool:
    """Whether a method uses an option. lora: whether an adapter is trained."""
    extra = Recipe.model_fields[name].json_schema_extra
    of = extra.get("of") if isinstance(extra, dict) else None
    return (not of or method in of) and (lora or name not in ADAPTER)  # type: ignore[operator]


def flag_of(name: str) -> str:
    """What an option is called on the command line."""
    extra = Recipe.model_fields[name].json_schema_extra
    return f"--{extra['flag']}" if isinstance(extra, dict) and "flag" in extra else f"--{name.replace('_', '-')}"


def preset(name: str) -> dict[str, Any]:
    """The values a preset sets, from presets/NAME.toml."""
    if name not in PRESETS:
        raise InputError(f"There is no preset '{name}'", f"Presets are {', '.join(PRESETS)}.", "Choose one of them with --preset.")
    return tomllib.loads((Path(__file__).parent / "presets" / f"{name}.toml").read_text(encoding="utf-8"))


def read(path: Path) -> dict[str, Any]:
    """A recipe file's values."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"There is no recipe {path}", "The file does not exist.", "Check --recipe.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"The recipe {path} cannot be read", str(error), "Correct the file, or leave --recipe out.") from error


def gathered(flags: dict[str, Any], file: Path | None = None, preset_name: str | None = None) -> tuple[dict[str, Any], dict[str, str]]:
    """What `build` makes a recipe of, not looked at yet: the values that are set, and the source of every one."""
    values: dict[str, Any] = {}
    sources = dict.fromkeys(Recipe.model_fields, "default")
    from_file = read(file) if file else {}
    if preset_name is None and isinstance(from_file.get("preset"), str):
        preset_name = from_file["preset"]
    from_file.pop("preset", None)
    for source, given in (
        (f"preset {preset_name}", preset(preset_name) if preset_name else {}),
        (f"file {file}", from_file),
        ("flag", flags),
    ):
        for key, value in given.items():
            values[key] = value
            sources[key] = source
    return values, sources


def one(name: str, value: Any) -> Any:
    """A value as an option takes it. Raises InputError where its type or bounds refuse it, whatever the other options are."""
    field = Recipe.model_fields[name]
    try:
        return TypeAdapter(cast(Any, Annotated)[field.annotation, field]).validate_python(value)
    except ValidationError as error:
        raise InputError(f"{name} cannot be {value!r}", error.errors()[0]["msg"] + ".", "Correct it.") from error


def build(flags: dict[str, Any], file: Path | None = None, preset_name: str | None = None) -> tuple[Recipe, dict[str, str]]:
    """Put a recipe together: flags beat the file, the file beats the preset. Returns it with the source of every value.

    Raises InputError naming all wrong values together.
    """
    values, sources = gathered(flags, file, preset_name)
    try:
        return Recipe(**values), sources
    except ValidationError as error:
        problems = []
        for item in error.errors():
            name = ".".join(str(part) for part in item["loc"][:1]) or "recipe"
            where = sources.get(name, "file")
            problems.append(
                f"{name} = {item['input']!r} ({where}): {item['msg'].removeprefix('Value error, ')}"
                if item["loc"]
                else item["msg"].removeprefix("Value error, ")
            )
        raise InputError(
            "The recipe is not valid", "; ".join(problems) + ".", "Correct these values; 'edgetune train --help' lists them all."
        ) from error


def to_toml(recipe: Recipe, sources: dict[str, str] | None = None) -> str:
    """The recipe as TOML, each line with its help and, if known, where the value came from. Unset options are left out."""
    import json

    lines = []
    for name, field in Recipe.model_fields.items():
        value = getattr(recipe, name)
        if value is None:
            continue
        text = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        source = f" [{one_line(sources[name], 200)}]" if sources else ""
        lines.append(f"{name} = {text}  # {field.description}{source}")
    return "\n".join(lines) + "\n"
