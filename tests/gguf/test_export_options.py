"""What a run could be exported as, and that exports keep their run's name."""

import json
from types import SimpleNamespace

import pytest

from edgetune.estimate import generation_speed
from edgetune.gguf import export_options
from edgetune.machine import hardware
from edgetune.runs import manage
from edgetune.storage.workspace import REQUIRED_KEYS, Run, Workspace


@pytest.fixture
def run(workspace: Workspace) -> Run:
    """A run of a base with a billion parameters, with a Q8_0 whose proof measured a loss."""
    run = Run(workspace.runs_folder / "mine")
    run.exports.mkdir(parents=True)
    request = dict.fromkeys(REQUIRED_KEYS, "") | {"steps": 1, "data": [], "base_parameters": 10**9}
    (run.folder / "request.json").write_text(json.dumps(request), encoding="utf-8")
    path = run.exports / "mine-Q8_0.gguf"
    path.write_bytes(b"GGUF")
    path.with_suffix(".json").write_text(
        json.dumps({"path": str(path), "type": "Q8_0", "bytes": 4, "proof": {"passed": True}}), encoding="utf-8"
    )
    figures = {"checks": {"behaviour": {"figures": {"kl_mean": 0.25, "top1": 0.5}}}}
    path.with_suffix(".proof.json").write_text(json.dumps(figures), encoding="utf-8")
    return run


def test_what_was_measured_comes_before_what_was_published(run: Run) -> None:
    options = {option.type: option for option in export_options.list_export_options(run)}
    measured, other = options["Q8_0"], options["Q4_K_M"]
    assert (measured.loss, measured.same, measured.measured, measured.proven, measured.bytes) == (0.25, 0.5, True, True, 4)
    assert other.loss == 0.031 and not other.measured and not other.written
    assert options["F16"].bytes == 2 * 10**9 > other.bytes > options["Q2_K"].bytes
    assert options["F16"].speed < other.speed < options["Q2_K"].speed


def test_speed_is_the_bytes_over_the_memory_s_bandwidth(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 10**8 < generation_speed.bandwidth() < 10**13
    monkeypatch.setattr(generation_speed, "bandwidth", lambda: 50e9)
    monkeypatch.setattr(hardware, "this_machine", lambda: SimpleNamespace(cores=4))
    # 5 GB at 50 GB/s take 100 ms a token; 8 billion weights to unpack on 4 cores, 16 ps each, another 32 ms.
    assert generation_speed.tokens_per_second(5 * 10**9) == pytest.approx(10, rel=0.01)
    assert generation_speed.tokens_per_second(5 * 10**9, 8 * 10**9) == pytest.approx(7.58, rel=0.01)


def test_exports_keep_the_name_of_their_run(run: Run, workspace: Workspace) -> None:
    renamed = manage.rename_run(workspace, "mine", "yours")
    assert sorted(path.name for path in renamed.exports.iterdir()) == ["yours-Q8_0.gguf", "yours-Q8_0.json", "yours-Q8_0.proof.json"]
    assert manage.export_records(renamed)[0]["path"] == str(renamed.exports / "yours-Q8_0.gguf")
    assert next(option for option in export_options.list_export_options(renamed) if option.type == "Q8_0").loss == 0.25
