"""Every option of a run, declared once: it renders as TOML key, command-line flag and form field.

One file, though a long one: an option, its bounds, its hint, its former name and the rules between options are read together.
"""

import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from edgetune import methods
from edgetune.errors import InputError
from edgetune.text import one_line

PRESETS = ("quick", "balanced", "careful", "pairs-50", "pairs-200", "pairs-1000")


if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[methods.names()]


def _option(default: Any, help: str, why: str, flag: str = "", formerly: str = "", **bounds: Any) -> Any:
    """A field with its help and the reason to change it, each in full sentences.

    flag: its name on the command line, where it is another. formerly: the name it had before, which is still understood.
    Which options are for some methods alone, the methods say.
    """
    optional = {"flag": flag, "formerly": formerly}
    extra: dict[str, Any] = {"why": why} | {key: value for key, value in optional.items() if value}
    return Field(default=default, description=help, json_schema_extra=extra, **bounds)


def _default_betas() -> str:
    """The methods' defaults of beta in words: the most common, then those of the methods that have another."""
    betas = {name: methods.get(name).beta for name in methods.names() if methods.get(name).beta is not None}
    usual = Counter(betas.values()).most_common(1)[0][0]
    return ", ".join([f"{usual:g}", *(f"{name} {beta:g}" for name, beta in betas.items() if beta != usual)])


class Recipe(BaseModel):
    """What a run does. Defaults are the balanced preset's; every other source overrides them."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)

    base: str = _option(
        "",
        "Folder of the base model in the Hugging Face layout (safetensors), or 'nano' for the bundled one.",
        "Training starts from this model.",
    )
    data: list[str] = _option(
        [],
        "Files or folders of examples (.jsonl .json .csv .parquet .txt .pdf …), or a preference file by name, e.g. prefs; "
        "FILE:2 counts twice.",
        "The model learns from these examples.",
    )
    validation: list[str] = _option(
        [], "Files of examples to validate on, in place of a split of the data.", "Name them when you already have a validation set."
    )
    format: str = _option("auto", "Format of the examples; 'auto' detects it from the rows.", "Set it when the detected format is wrong.")
    column_map: list[str] = _option(
        [],
        "Maps known columns to yours, as in instruction=question,output=answer.",
        "Use it when your columns have other names.",
        formerly="map",
    )
    from_run: str = _option(
        "",
        "Earlier run to continue from: its adapter is kept unchanged and a new one is trained on top of it.",
        "The step after sft is usually dpo.",
        flag="from",
    )
    method: MethodName = _option(
        methods.DEFAULT,
        "Training method.",
        "SFT teaches answers from examples; the other methods teach a preference from better and worse answers.",
    )
    loss_type: Literal["sigmoid", "ipo", "robust", "apo_zero", "apo_down", "sigmoid_norm"] = _option(
        "sigmoid",
        "For dpo: loss on the preference pairs.",
        "sigmoid is plain DPO; ipo does not run away on pairs that are never in doubt; robust expects some wrong votes; apo_zero raises "
        "chosen answers, apo_down lowers both where the model is better than they are; sigmoid_norm weighs every token equally, so that "
        "length says nothing.",
        formerly="loss",
    )
    beta: float | None = _option(
        None,
        f"How close to the reference model to stay (default: {_default_betas()}).",
        "High values allow small, safe changes; low values allow stronger ones that may cost what the model knows. For orpo it is the "
        "weight of the preference beside the answers, for simpo the scale of the mean log-probability.",
        gt=0,
        le=100,
    )
    sft_weight: float = _option(
        0.0,
        "For dpo: weight of the SFT loss on the chosen answers.",
        "0.3 keeps them likely and guards facts.",
        ge=0,
        le=100,
    )
    label_smoothing: float = _option(
        0.0,
        "For cpo, and dpo with loss_type robust: share of votes assumed to be wrong.",
        "Use 0.1 when votes waver.",
        ge=0,
        lt=0.5,
    )
    simpo_gamma: float = _option(
        0.5,
        "For simpo: margin by which the chosen answer should win.",
        "A larger margin pulls harder.",
        formerly="gamma",
        ge=0,
        le=100,
    )
    quantization: Literal["nf4", "int8", "none"] = _option(
        "nf4", "Quantization of the frozen base while training.", "nf4 needs a quarter of the memory; none is exact."
    )
    reward: list[str] = _option(
        [],
        "For rl: what to reward; several add up: model:RUN, exact, regex:PATTERN, json_schema:FILE, length:TOKENS, python_file:FILE.",
        "A reward model (model:RUN) stands for a person's taste; the others are checked by rule.",
    )
    algorithm: Literal["rloo", "grpo"] = _option(
        "rloo",
        "For rl: how rewards become advantages.",
        "rloo is simpler; grpo scales by the spread within a prompt's completions.",
    )
    num_generations: int = _option(
        4,
        "For rl: completions sampled for each prompt.",
        "More of them tell better from worse more reliably, and take longer.",
        formerly="answers_each",
        ge=2,
        le=64,
    )
    max_completion_length: int = _option(
        128,
        "For rl: maximum length of a sampled completion in tokens.",
        "Sampling takes longer with it.",
        formerly="answer_tokens",
        ge=1,
        le=8192,
    )
    temperature: float = _option(1.0, "For rl: sampling temperature.", "Completions that are all alike teach nothing.", gt=0, le=2)
    kl_limit: float = _option(
        0.5,
        "For rl: stop when the KL divergence from the reference model exceeds this many nats per token.",
        "It guards against reward hacking.",
        gt=0,
        le=100,
    )
    lora: bool = _option(
        True, "Train a LoRA adapter; when off, train every weight.", "Training every weight needs about ten times the memory."
    )
    rank: int = _option(16, "LoRA rank.", "A higher rank learns more and forgets more.", ge=1, le=1024)
    alpha: float = _option(
        32.0, "LoRA alpha: the adapter is scaled by alpha / rank.", "It is usually once or twice the rank.", gt=0, le=4096
    )
    dropout: float = _option(0.0, "LoRA dropout.", "0.05 to 0.1 reduces overfitting on few rows.", ge=0, lt=1)
    target_modules: list[str] = _option(
        ["all-linear"],
        "Modules that get a LoRA adapter.",
        "all-linear learns best; q_proj and v_proj alone are smallest.",
        formerly="targets",
    )
    rslora: bool = _option(False, "Scale the adapter by alpha / sqrt(rank) (rsLoRA).", "It is steadier at ranks above 64.")
    dora: bool = _option(False, "Train magnitude and direction separately (DoRA).", "It is a little better at small ranks, and slower.")
    learning_rate: float | None = _option(
        None,
        "Peak learning rate (default: by the size of the base).",
        "Lower it when the loss jumps, raise it when the loss hardly moves.",
        gt=0,
        le=1,
    )
    lr_scheduler_type: Literal["cosine", "linear", "constant"] = _option(
        "cosine", "Shape of the learning rate's decay.", "cosine suits nearly everything.", formerly="schedule"
    )
    warmup_ratio: float = _option(
        0.03,
        "Share of the steps during which the learning rate rises.",
        "Raise it when the loss is rough in the first steps.",
        formerly="warmup",
        ge=0,
        le=0.5,
    )
    weight_decay: float = _option(0.0, "AdamW weight decay.", "Use 0.01 to 0.1 for full fine-tuning.", ge=0, le=1)
    max_grad_norm: float = _option(1.0, "Gradients are clipped to this norm.", "It guards against single bad batches.", gt=0, le=1000)
    batch_size: int = _option(4, "Rows that are processed at once.", "Lower it when memory is short.", formerly="batch", ge=1, le=4096)
    gradient_accumulation: int = _option(
        4,
        "Batches whose gradients are added up before each update.",
        "Raise it when you lower the batch size.",
        formerly="accumulation",
        ge=1,
        le=4096,
    )
    max_length: int = _option(1024, "Maximum length of a row in tokens.", "Memory grows with it.", formerly="length", ge=8, le=1_048_576)
    overlong: Literal["drop", "truncate", "split"] = _option(
        "drop",
        "What happens to rows longer than --max-length: left out, cut so that the answer stays, or split between turns.",
        "Each such row is counted and listed.",
        formerly="long",
    )
    train_on: Literal["all", "last"] = _option(
        "all",
        "Answers of a conversation to train on.",
        "Choose last when the earlier ones are only context.",
        formerly="answers",
    )
    packing: bool = _option(False, "Pack several short rows into one.", "It is faster when rows are short.")
    epochs: float = _option(3.0, "Passes over the examples.", "Use more for few rows, fewer for many.", gt=0, le=1000)
    max_steps: int | None = _option(
        None, "Number of updates, in place of epochs.", "Set it when you want an exact length.", formerly="steps", ge=1, le=10_000_000
    )
    validation_split: float = _option(
        0.1, "Share of the rows held out for validation.", "These rows are never trained on.", formerly="eval_share", ge=0, le=0.5
    )
    eval_steps: int | None = _option(
        None, "Steps between evaluations (default: ten evaluations a run).", "Each evaluation takes time.", formerly="eval_every", ge=1
    )
    save_steps: int | None = _option(
        None,
        "Steps between checkpoints (default: ten checkpoints a run).",
        "A power cut costs at most that many.",
        formerly="save_every",
        ge=1,
    )
    replay: str | None = _option(None, "Examples of what the model should keep knowing, mixed into training.", "It keeps old skills.")
    replay_ratio: float = _option(
        0.25,
        "Share of the rows drawn from the replay file.",
        "With more of them the model forgets less.",
        formerly="replay_share",
        gt=0,
        lt=1,
    )
    keep_best: bool = _option(
        True, "Keep the checkpoint with the lowest validation loss as the result.", "It guards against training too long."
    )
    early_stopping_patience: int | None = _option(
        None, "Stop after this many evaluations without improvement.", "It saves time.", formerly="patience", ge=1
    )
    gradient_checkpointing: bool = _option(
        False, "Recompute activations in place of keeping them.", "It needs less memory and is about a third slower."
    )
    seed: int = _option(
        0, "Seed of everything random except the data's split and order.", "Another seed gives another result.", ge=0, le=2**31 - 1
    )
    data_seed: int = _option(
        0, "Seed of the split and the order of the rows.", "Keep it to compare runs on the same split.", ge=0, le=2**31 - 1
    )
    device: Literal["auto", "cpu", "cuda", "mps", "xpu"] = _option("auto", "Device to train on.", "auto takes the best one available.")
    threads: int | None = _option(
        None,
        "Processor threads (default: one for tiny models, else all cores).",
        "The same number of threads gives the same result bit for bit.",
        ge=1,
        le=1024,
    )

    @field_validator("data", "validation", "column_map", "target_modules", "reward", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        from edgetune.data.formats import names

        if value not in ("auto", *names()):
            raise ValueError(f"known shapes are auto, {', '.join(names())}")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        # Known before anything is loaded, though each value is valid alone.
        if not self.lora and self.quantization != "none":
            raise ValueError("--no-lora also needs --quantization none, because quantized weights cannot be trained")
        if self.dora and not self.lora:
            raise ValueError("--dora needs LoRA: remove --no-lora")

        # What a method can do is declared by the method itself, so that a new one needs no change here.
        method = methods.get(self.method)
        if not self.lora and not method.trains_every_weight:
            raise ValueError(f"method {self.method} trains a LoRA adapter: with lora off it would need a second model in memory")

        for name in ("packing", "replay", "reward"):
            if getattr(self, name) and name not in method.options:
                raise ValueError(f"{name} goes with method {' or '.join(_methods_with(name))}, not with {self.method}")

        if not method.adapts_lm_head and "lm_head" in self.target_modules:
            raise ValueError(f"method {self.method} cannot train an adapter on lm_head; leave it out of target_modules")
        if problem := method.find_problem(self):
            raise ValueError(problem)
        return self


ADAPTER = ("rank", "alpha", "dropout", "target_modules", "rslora", "dora")
"""Options of the LoRA adapter."""


def used(name: str, method: str, lora: bool = True) -> bool:
    """Whether a method uses an option. lora: whether an adapter is trained."""
    users = _methods_with(name)
    return (not users or method in users) and (lora or name not in ADAPTER)


def _methods_with(option: str) -> list[str]:
    """The methods that an option is for, where it is not for all of them; else none."""
    return [name for name in methods.names() if option in methods.get(name).options]


def flag_of(name: str) -> str:
    """What an option is called on the command line, also under its former name."""
    extra = Recipe.model_fields[name].json_schema_extra if name in Recipe.model_fields else None
    return f"--{extra['flag']}" if isinstance(extra, dict) and "flag" in extra else f"--{name.replace('_', '-')}"


def former_names() -> dict[str, str]:
    """The options' former names, each with the name it has now."""
    extras = {name: field.json_schema_extra for name, field in Recipe.model_fields.items()}
    return {str(extra["formerly"]): name for name, extra in extras.items() if isinstance(extra, dict) and "formerly" in extra}


def current_names(
    values: dict[str, Any], note: Callable[[str], None] | None = None, where: str = "", spell: Callable[[str], str] = str
) -> dict[str, Any]:
    """Values of a recipe with every former name replaced by the one it has now, in their order.

    note: is told which name replaced which. where: the source, such as "recipe.toml: ", set before messages. spell: how a name is written.
    Raises InputError where a value is given under both names.
    """
    # Recipes and scripts of the version before must keep working.
    former = former_names()
    current: dict[str, Any] = {}
    for key, value in values.items():
        name = former.get(key, key)
        if name != key:
            # With both given there is no telling which one is meant.
            if name in values:
                raise InputError(
                    f"{where}{spell(name)} and {spell(key)} are both given",
                    f"{spell(key)} is the former name of {spell(name)}: they set the same option.",
                    f"Remove {spell(key)}.",
                )

            if note:
                note(f"{where}{spell(key)} is now called {spell(name)}; the former name still works.")
        current[name] = value
    return current


def preset(name: str) -> dict[str, Any]:
    """The values a preset sets, from presets/NAME.toml."""
    if name not in PRESETS:
        raise InputError(f"There is no preset '{name}'", f"Presets are {', '.join(PRESETS)}.", "Choose one of them with --preset.")
    return tomllib.loads((Path(__file__).parent / "presets" / f"{name}.toml").read_text(encoding="utf-8"))


def read_recipe(path: Path) -> dict[str, Any]:
    """A recipe file's values."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(f"There is no recipe {path}", "The file does not exist.", "Name an existing TOML file with --recipe.") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"The recipe {path} cannot be read", str(error), "Correct the file, or leave --recipe out.") from error


def gather_values(
    flags: dict[str, Any], file: Path | None = None, preset_name: str | None = None, note: Callable[[str], None] | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """What `build_recipe` makes a recipe of, not looked at yet: the values that are set, and the source of every one."""
    values: dict[str, Any] = {}
    sources = dict.fromkeys(Recipe.model_fields, "default")

    # --preset beats the file's preset, and a preset is no value of a recipe but a set of them.
    from_file = current_names(read_recipe(file), note, f"{file}: ") if file else {}
    if preset_name is None and isinstance(from_file.get("preset"), str):
        preset_name = from_file["preset"]
    from_file.pop("preset", None)

    # From weak to strong: the last layer that has a value sets it, and is named as its source.
    for source, layer in (
        (f"preset {preset_name}", preset(preset_name) if preset_name else {}),
        (f"file {file}", from_file),
        ("flag", flags),
    ):
        for key, value in layer.items():
            values[key] = value
            sources[key] = source
    return values, sources


def check_option(name: str, value: Any) -> Any:
    """A value as an option takes it. Raises InputError where its type or bounds refuse it, whatever the other options are."""
    field = Recipe.model_fields[name]
    try:
        return TypeAdapter(cast(Any, Annotated)[field.annotation, field]).validate_python(value)
    except ValidationError as error:
        raise InputError(f"{name} cannot be {value!r}", error.errors()[0]["msg"] + ".", "Enter a value that this allows.") from error


def build_recipe(
    flags: dict[str, Any], file: Path | None = None, preset_name: str | None = None, note: Callable[[str], None] | None = None
) -> tuple[Recipe, dict[str, str]]:
    """Put a recipe together: flags beat the file, the file beats the preset. Returns it with the source of every value.

    note: is told of every former name in the file. Raises InputError naming all wrong values together.
    """
    values, sources = gather_values(flags, file, preset_name, note)
    try:
        return Recipe(**values), sources
    except ValidationError as error:
        # All at once, each with where it came from: one at a time would cost a try each.
        problems = []
        for item in error.errors():
            # Problems of several values together have no location.
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
