"""Every bad input of the corpus ends as it should: the right rows left out, or exit code 2 with file, line and kind; before torch."""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgetune.cli.app import run
from edgetune.data.readers import GZIP_SUFFIXES, READERS
from edgetune.estimate import training_time
from tests.data import bad_inputs

HERE = Path(__file__).parent
SEED = 20
SECONDS, MEMORY = 5.0, 512 * 2**20

LAUNCHER = """
import json, os, subprocess, sys
child = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(child.pid, 0)
peak = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, peak], file)
"""
"""Stands between, because a process that comes from a large one is counted as that large at its start."""


@dataclass(frozen=True)
class Ended:
    """How a process ended. seconds: of processor time, its children's with it; peak: bytes of memory."""

    code: int
    out: str
    err: str
    seconds: float
    peak: int


def launch(folder: Path, *arguments: str) -> Ended:
    """Run Python with these words, away from the user's own workspace."""
    environment = {**os.environ, "EDGETUNE_WORKSPACE": str(folder / "workspace"), "PYTHONPATH": str(HERE.parents[1])}
    used = folder / "used.json"
    command = [sys.executable, "-S", "-E", "-c", LAUNCHER, str(used), sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, timeout=900, check=True)
    code, seconds, peak = json.loads(used.read_text(encoding="utf-8"))
    return Ended(code, done.stdout, done.stderr, seconds, peak)


@dataclass(frozen=True)
class Met:
    """A case, and what became of it."""

    case: bad_inputs.Case
    code: int
    out: str
    err: str
    seconds: float
    heavy: list[str]

    @property
    def document(self) -> dict[str, Any]:
        """What it printed; {} when that was no JSON document."""
        try:
            value = json.loads(self.out)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def wrong(self) -> list[str]:
        """All that is not as the case says."""
        case, document = self.case, self.document
        faults = [f"exit code {self.code}, not {case.code}"] if self.code != case.code else []
        if "Traceback" in self.out + self.err:
            faults.append(self.err[-1500:])
        if self.code != case.code:
            return [*faults, str(document.get("error"))]
        if not document:
            return [*faults, f"no JSON document: {self.out[:200]!r}"]
        if self.code == 2:
            return faults + self._refused(document.get("error", {}))
        if case.words[:2] == ("data", "check"):
            return faults + self._report(document)
        return faults + self._other(document)

    def _refused(self, error: dict[str, Any]) -> list[str]:
        case = self.case
        expected = {"kind": case.kind, "file": case.file, "line": case.line} if case.kind else {}
        faults = [f"{key} {error.get(key)!r}, not {value!r}" for key, value in expected.items() if error.get(key) != value]
        if case.line and case.kind and f"ine {case.line}" not in error.get("cause", ""):
            faults.append(f"line {case.line} is not in the cause {error.get('cause')!r}")
        message = f"{error.get('title')} {error.get('cause')}"
        faults += [f"{word!r} is not in {message!r}" for word in case.says if word not in message]
        return faults + [f"no {key}" for key in ("title", "remedy") if not error.get(key)]

    def _report(self, report: dict[str, Any]) -> list[str]:
        case = self.case
        problems = report.get("problems", [])
        faults = []
        for name, rejected, expected in (("left out", True, case.rejected), ("told", False, case.warned)):
            got = [(p["file"], p["line"], p["kind"]) for p in problems if p["rejected"] == rejected]
            if sorted(got) != sorted(expected):
                faults.append(f"{name}: {sorted(set(got) - set(expected))} not {sorted(set(expected) - set(got))}")
        counts = report["read"], report["kept"], report["rejected"], report["truncated"]
        totals = case.read, case.read - len(case.rejected) - case.truncated, len(case.rejected), case.truncated
        if counts != totals or counts[0] != sum(counts[1:]):
            faults.append(f"read, kept, rejected, truncated are {counts}, not {totals}")
        if sum(report["rejected_counts"].values()) != len(case.rejected):
            faults.append(f"counted as {report['rejected_counts']}")
        if not report["verdict"] or (case.code == 1) != (report["verdict"] == "do not train"):
            faults.append(f"verdict {report['verdict']!r}")
        return faults + self._quarantined(report["quarantine"])

    def _quarantined(self, path: str | None) -> list[str]:
        case = self.case
        lines = Path(path).read_text(encoding="utf-8").splitlines() if path else []
        rows = [json.loads(line) for line in lines]
        positions = sorted((row["file"], row["line"], row["kind"]) for row in rows)
        faults = [f"in quarantine: {positions}"] if positions != sorted(case.rejected) else []
        unsaid = [row["line"] for row in rows if not row["reason"] or "row" not in row]
        return faults + ([f"without reason or row in quarantine: {unsaid}"] if unsaid else [])

    def _other(self, document: dict[str, Any]) -> list[str]:
        """What convert, split, preview and train say."""
        case = self.case
        if case.words[1] == "preview":
            got = [(document["file"], document["line"], document["rejected"]["kind"])]
            return [] if got == list(case.rejected) else [f"shown: {got}"]
        faults = [f"{file}:{line} is not named in {self.err!r}" for file, line, _ in case.rejected if f"{file}:{line}:" not in self.err]
        if "left_out" in document:
            written = document.get("written", document.get("train", 0) + document.get("valid", 0))
            counts = document["read"], written, document["left_out"]
            expected = case.read, case.read - len(case.rejected), len(case.rejected)
            faults += [f"read, written, left out are {counts}, not {expected}"] if counts != expected else []
        return faults


@dataclass(frozen=True)
class Corpus:
    """All cases as they ended in one process, and that process."""

    met: list[Met]
    process: Ended


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The corpus, built and met."""
    folder = tmp_path_factory.mktemp("bad")
    cases = bad_inputs.build(folder / "corpus", SEED)
    (folder / "cases.json").write_text(json.dumps([asdict(case) for case in cases]), encoding="utf-8")
    results = folder / "results.json"
    process = launch(folder, str(HERE / "bad_inputs.py"), "--drive", str(folder / "cases.json"), str(results))
    assert process.code == 0, process.err[-3000:]
    return Corpus(
        [Met(case, **result) for case, result in zip(cases, json.loads(results.read_text(encoding="utf-8")), strict=True)], process
    )


def test_every_bad_input_ends_as_it_should(corpus: Corpus) -> None:
    wrong = {met.case.name: faults for met in corpus.met if (faults := met.wrong())}
    assert not wrong, f"{len(wrong)} of {len(corpus.met)}:\n" + "\n".join(f"{name}: {'; '.join(faults)}" for name, faults in wrong.items())


def test_no_bad_input_is_slow_or_large_or_loads_torch(corpus: Corpus) -> None:
    slow = {met.case.name: met.seconds for met in corpus.met if met.seconds > SECONDS}
    heavy = {met.case.name: met.heavy for met in corpus.met if met.heavy}
    assert not slow and not heavy and corpus.process.peak < MEMORY, (slow, heavy, corpus.process.peak)
    assert "Traceback" not in corpus.process.err


def test_the_corpus_is_wide(corpus: Corpus, tmp_path: Path) -> None:
    cases = [met.case for met in corpus.met]
    kinds = set().union(*(case.kinds for case in cases))
    assert len(cases) >= 120 and len(kinds) >= 25
    carriers = {carrier.__name__ for carrier in bad_inputs.CARRIERS}
    assert carriers <= {case.name.rpartition(" in ")[2] for case in cases}
    commands = {case.words[: 1 if case.words[0] == "train" else 2] for case in cases}
    assert commands == {("train",), ("data", "check"), ("data", "preview"), ("data", "convert"), ("data", "split")}


REPRESENTATIVE = ("cut row in", "missing for training", "list cut in a row", "Parquet cut", "pipe for train --base", "unknown columns")


def test_real_processes_are_quick_and_small(corpus: Corpus, tmp_path: Path) -> None:
    cases = [next(met.case for met in corpus.met if met.case.name.startswith(name)) for name in REPRESENTATIVE]
    for case in [*cases, *bad_inputs.large(tmp_path)]:
        ended = launch(tmp_path, "-m", "edgetune", *case.words)
        wrong = Met(case, ended.code, ended.out, ended.err, ended.seconds, []).wrong()
        assert not wrong, (case.name, wrong)
        assert ended.seconds < SECONDS and ended.peak < MEMORY, (case.name, ended.seconds, ended.peak)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(width=32) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "role", "content", "prompt", "chosen", "rejected", "label", "text", "tools", "answers", "rank", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
FUZZED = st.one_of(
    st.binary(max_size=200),
    st.lists(JSON_VALUES, min_size=1, max_size=5).map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    st.lists(JSON_VALUES, max_size=5).map(lambda rows: json.dumps(rows, indent=1).encode()),
    JSON_VALUES.map(lambda value: json.dumps(value).encode()),
)


@settings(max_examples=100, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(suffix=st.sampled_from([*READERS, *(f"{suffix}.gz" for suffix in GZIP_SUFFIXES), ".zip", ""]), data=FUZZED)
def test_whatever_a_file_holds_ends_in_a_document(
    suffix: str, data: bytes, tmp_path_factory: pytest.TempPathFactory, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    folder.mkdir(exist_ok=True)
    path = folder / f"a{suffix}"
    path.write_bytes(data)
    arguments = ["data", "check", str(path), "--base", "nano", "--workspace", str(folder / "workspace"), "--json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["edgetune", *arguments])
        patch.setattr(training_time, "_products", lambda: 1e9)
        code = run(arguments)
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert code in (0, 1, 2) and "Traceback" not in err
    assert document["error"]["title"] if code == 2 else document["read"] == document["kept"] + document["rejected"] + document["truncated"]
