"""Several types of one model, measured one after the other: existing files are used, what is missing is written and removed again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters import convert
from converters.gguf_file import Header, read_header
from converters.imatrix import read_imatrix
from edgetune.errors import InputError
from edgetune.gguf.compare.advice import Advice, advise
from edgetune.gguf.compare.measure import FileMeasurement, full_precision, measure_file
from edgetune.gguf.current import current
from edgetune.gguf.proof.prove import Prover, type_of_file
from edgetune.gguf.source import Source, conversion_errors, template_marks
from edgetune.storage.files import atomic_write, need_space, scratch_folder
from edgetune.storage.workspace import Workspace

DEFAULT_TYPES = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q4_0", "Q3_K_M", "Q2_K")
"""Types that are compared by default: one of each size."""
ComparisonProgress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class ComparisonResult:
    """All that was measured of one model. on: what on, in words; perplexity: full precision's, on the same."""

    name: str
    files: tuple[FileMeasurement, ...]
    perplexity: float | None
    on: str
    tokens: int
    answer_tokens: int
    advice: Advice

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "model": self.name,
            "measured_on": {"source": self.on, "tokens": self.tokens, "answer_tokens": self.answer_tokens},
            "full_precision": {"perplexity": self.perplexity},
            "files": [file.as_dict() for file in self.files],
            "recommended": {"name": self.advice.choice.name, "why": self.advice.why},
        }


class Comparison:
    """One model's files to compare. Everything that can be checked before the work is checked here; InputError says what is wrong.

    types: to compare, written where they are missing. files: GGUFs of this model. imatrix: importance matrix for what is written.
    """

    def __init__(
        self,
        source: Source,
        workspace: Workspace,
        types: Sequence[str],
        files: Sequence[Path],
        imatrix: Path | None,
        data: Path | None,
        say: Callable[[str], None],
    ) -> None:
        if imatrix is not None and not imatrix.is_file():
            raise InputError(f"{imatrix} is not a file", "It was named as the importance matrix.", "Give --imatrix the path of a file.")
        with conversion_errors():
            self._importance = read_imatrix(imatrix) if imatrix else None
            self._plan = convert.plan_gguf(
                source.model,
                source.mix or source.adapter,
                list(types),
                chat_template=source.template,
                name=source.name,
                extra=source.facts,
                **template_marks(source),
                imatrix=self._importance,
            )
        self.source = source
        self.workspace = workspace
        self.types = types
        self.say = say
        self.files = [(path, self._checked(path)) for path in files]
        self.prover = Prover(source, workspace.proof_cache, data=data, say=say)

    def _checked(self, path: Path) -> Header:
        with conversion_errors():
            header = read_header(path)
        for tensor in self._plan.tensors:
            info = header.tensors.get(tensor.name)
            if tensor.sources and (info is None or info.shape[::-1] != tensor.shape):
                difference = "is not in it"
                if info is not None:
                    difference = f"has the shape {list(info.shape[::-1])} in it and {list(tensor.shape)} in the model"
                raise InputError(
                    f"{path.name} is not a file of {self.source.name}",
                    f"{tensor.name} {difference}.",
                    f"Name files that were written from {self.source.name}.",
                )
        return header

    def run(self, progress: ComparisonProgress) -> ComparisonResult:
        """Measure all of them. progress: gets files done, files in all, and the name of the file being measured."""
        measured: list[FileMeasurement] = []
        total = len(self.files) + len(self.types)
        for path, header in self.files:
            progress(len(measured), total, path.name)
            measured.append(measure_file(self.prover, path, header, path.name, type_of_file(header), stays=True))
        for type_name in self.types:
            progress(len(measured), total, type_name)
            measured.append(self._measured(type_name))

        # Advice is given on what was measured, so that it says what that was.
        perplexity = full_precision(self.prover)
        held_out = self.prover.sample.source == "held-out rows"
        on = "your held-out examples" if held_out else "general text"
        ordered = tuple(sorted(measured, key=lambda file: -file.bytes))
        advice = advise(ordered, perplexity, on)
        return ComparisonResult(self.source.name, ordered, perplexity, on, ordered[0].tokens, ordered[0].answer_tokens, advice)

    def _measured(self, type_name: str) -> FileMeasurement:
        # An export of the run stands in where it was quantized with the same importance matrix, or both with none.
        export = current(self.source, type_name)
        if export is not None:
            header = read_header(export)
            expected = {key: value.data for key, value in self._plan.metadata(type_name).items() if key.startswith("quantize.imatrix.")}
            if expected == {key: value for key, value in header.metadata.items() if key.startswith("quantize.imatrix.")}:
                return measure_file(self.prover, export, header, type_name, type_name, stays=True)

        with scratch_folder(self.workspace.proof_cache, "compare") as folder:
            path = folder / f"{type_name}.gguf"
            need_space(folder, self._plan.size(type_name), "Comparing")
            with conversion_errors(), atomic_write(path) as file:
                self._plan.write(type_name, file)
            return measure_file(self.prover, path, read_header(path), type_name, type_name, stays=False)
