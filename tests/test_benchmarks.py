"""The benchmark of a GPU, rehearsed on the CPU."""

import os
import subprocess
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks import cuda
from benchmarks.cuda import QUICK, Job, Report


def verdicts(report):
    return {row["what"]: row["kept"] for row in report.rows}


class Unseeded(cuda.Setting):
    """A setting whose fits differ."""

    @property
    def parameters(self):
        return super().parameters | {"random_state": None}


def test_without_a_gpu():
    command = [sys.executable, "-m", "benchmarks.cuda"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=cuda.ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"benchmarks.cuda needs a GPU, and torch {torch.__version__} finds none.\n"


def test_rehearsal(monkeypatch, capsys):
    monkeypatch.setattr(
        cuda, "run_tests", lambda report, seconds: report.judged("tests", "all", f"{seconds:.0f}", True)
    )
    assert cuda.main(["--device", "cpu", "--quick", "--minutes", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    table = [line for line in lines[2:] if not line.startswith("---")]
    assert [line.split()[0] for line in table] == ["tests"] + 4 * ["promises"] + 13 * ["speed"]
    assert table[0].split()[2] == "60"  # seconds for the tests, of 120
    assert [line.split()[-1] for line in table[:5]] == 5 * ["yes"]
    for line in table[5:]:
        has_peer = "detector" not in line  # nobody has written it by hand
        ours, by_hand, on_cpu, *ratios = (float(text.replace("-", "nan")) for text in line.split()[-5:])
        assert min(ours, by_hand if has_peer else ours, on_cpu) > 0
        expected = [by_hand / ours if has_peer else np.nan, on_cpu / ours]
        np.testing.assert_allclose(ratios, expected, rtol=0.2, atol=0.02)


def test_nothing_begins_when_the_time_is_over(monkeypatch):
    monkeypatch.setattr(cuda, "run_tests", lambda report, seconds: None)
    report = Report()
    cuda.fill(report, QUICK, "cpu", 0)
    assert len(report.rows) == 3 + 13
    assert {row["found"] for row in report.rows} == {"left out: no time"}
    assert report.broken == []


def test_broken_promise(monkeypatch, capsys):
    monkeypatch.setattr(cuda, "fill", lambda report, *args: report.at_most("waits", 2, 1))
    assert cuda.main(["--device", "cpu"]) == 1
    assert capsys.readouterr().out.endswith("broken: waits\n")


class TestPromises:
    def test_second_fit(self):
        for kind, kept in ((cuda.Setting, "yes"), (Unseeded, "no")):
            report = Report()
            cuda.check_repetition(report, kind(**vars(QUICK.small)), "cpu")
            assert list(verdicts(report).values()) == [kept]

    @pytest.mark.parametrize("limit", ["SAME_WEIGHTS", "SAME_TRAINING"])
    def test_agreement(self, limit, monkeypatch):
        monkeypatch.setattr(cuda, limit, -1.0)
        report = Report()
        cuda.check_agreement(report, QUICK.large, "cpu")
        kept = ["no", "yes"] if limit == "SAME_WEIGHTS" else ["yes", "no"]
        assert list(verdicts(report).values()) == kept

    def test_training_is_compared(self, monkeypatch):
        monkeypatch.setattr(cuda, "SAME_TRAINING", 1e-9)
        report = Report()
        cuda.check_agreement(report, Unseeded(**vars(QUICK.large)), "cpu")
        assert list(verdicts(report).values()) == ["yes", "no"]

    @pytest.mark.parametrize(("every", "kept"), [(1, "no"), (64, "yes")])
    def test_waiting(self, every, kept, monkeypatch):
        def train(setting, X, device):
            for step in range(len(X) // setting.batch_size):
                if step % every == 0:
                    torch.zeros(1).item()

        monkeypatch.setattr(cuda, "by_transformer", train)
        report = Report()
        cuda.check_waiting(report, QUICK.small, "cpu")
        assert list(verdicts(report).values()) == [kept]
        assert float(report.rows[0]["found"].split(",")[0]) == pytest.approx(1 / every, rel=0.3)

    def test_waits_on_the_cpu(self):
        weight = torch.ones(3, requires_grad=True)
        optimizer = torch.optim.Adam([weight], fused=True)
        weight.sum().backward()
        assert cuda.waits(lambda device: optimizer.step(), "cpu") == 0
        assert cuda.waits(lambda device: bool(weight.sum() > 0), "cpu") == 1

    def test_waits_on_cuda(self, monkeypatch):
        modes = []
        monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
        monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

        def work(device):
            for text in ("called a synchronizing CUDA operation", "called a synchronizing CUDA operation", "another"):
                warnings.warn(text, UserWarning, stacklevel=1)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert cuda.waits(work, "cuda") == 2
        assert modes == ["warn", 0]


class TestRunOfTests:
    @pytest.fixture
    def root(self, tmp_path, monkeypatch):
        monkeypatch.setattr(cuda, "ROOT", tmp_path)
        (tmp_path / "tests").mkdir()
        return tmp_path

    @pytest.mark.parametrize(
        ("body", "found", "kept"),
        [("pass", "1 passed", "yes"), ("assert 0", "1 failed", "no"), ("pytest.skip()", "1 skipped", "")],
    )
    def test_result(self, root, body, found, kept):
        text = f"import pytest\n\n@pytest.mark.cuda\ndef test_a():\n    {body}\n\ndef test_b():\n    pass\n"
        (root / "tests" / "test_it.py").write_text(text)
        (root / "tests" / "test_other.py").write_text("raise ImportError")
        report = Report()
        cuda.run_tests(report, 60)
        assert report.rows[0]["found"].startswith(found)
        assert report.rows[0]["kept"] == kept
        assert bool(report.broken) == (kept == "no")

    def test_time(self, root):
        (root / "tests" / "test_it.py").write_text(
            "import pytest, time\n\n@pytest.mark.cuda\ndef test_a():\n    pass\n\n"
            "@pytest.mark.cuda\ndef test_b():\n    time.sleep(60)\n"
        )
        report = Report()
        cuda.run_tests(report, 4)
        assert report.rows[0]["found"] == "1 passed, not done after 4 s"
        assert len(report.broken) == 1

    def test_no_pytest(self, monkeypatch):
        missing = subprocess.CompletedProcess([], 1, "", "/usr/bin/python: No module named pytest\n")
        monkeypatch.setattr(cuda.subprocess, "run", lambda *args, **kwargs: missing)
        report = Report()
        cuda.run_tests(report, 60)
        assert report.rows[0]["found"] == "left out: pytest is not installed"
        assert report.broken == []


def lacking(chosen):
    def work(device):
        if device == chosen:
            raise UserWarning("precision='bfloat16' needs instructions")

    return Job("bfloat16", work, lambda device: None)


def test_device_without_the_precision(monkeypatch):
    monkeypatch.setattr(cuda, "run_tests", lambda report, seconds: None)
    monkeypatch.setattr(cuda, "CHECKS", {})
    monkeypatch.setattr(cuda, "jobs", lambda sizes: [lacking("meta"), lacking("cpu")])
    report = Report()
    cuda.fill(report, QUICK, "meta", 60)
    assert report.rows[0]["found"] == "left out: precision='bfloat16' needs instructions"
    assert [report.rows[1][name] for name in ("on the CPU", "CPU / ms")] == ["-", "-"]
    assert float(report.rows[1]["ms"]) >= 0


@pytest.mark.parametrize("supported", [True, False])
def test_missing_instructions_leave_a_row_out(supported, monkeypatch, capsys):
    monkeypatch.setattr(cuda, "run_tests", lambda report, seconds: None)
    monkeypatch.setattr(cuda, "CHECKS", {})
    monkeypatch.setattr(cuda, "jobs", lambda sizes: [cuda.in_precision("C", sizes.wide, "bfloat16")])
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: supported)
    assert cuda.main(["--device", "cpu", "--quick"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert ("left out: precision='bfloat16' needs" in last) == (not supported)


def test_ten_times_the_rows_are_as_many_steps():
    few, many = cuda.steps(replace(QUICK.small, epochs=3))
    assert few.steps == many.steps == 240
    assert (few.what, many.what) == ("B: one step of 8 rows", "B: one step of 80 rows")


def test_times_are_for_each_step():
    def work(device):
        torch.zeros(1000).sum()

    whole, parts = (cuda.measure(Job("", work, work, steps), "cpu", 5) for steps in (1, 10**6))
    assert max(parts) < 1e-3 * min(whole)
