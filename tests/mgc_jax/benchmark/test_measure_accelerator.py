"""The script that measures an accelerator: within its time, the most important first, and never twice."""

import pytest

from scripts import measure_accelerator
from scripts.measure_accelerator import Run


@pytest.fixture
def helps(monkeypatch):
    """A plan of two runs that print the benchmark's help, which takes a second."""
    monkeypatch.setattr(measure_accelerator, "RUNS", {"first": Run("--help", 60), "second": Run("--help", 90)})


def run(out, *arguments):
    return measure_accelerator.main(["--out", str(out), *arguments])


def test_the_plan_fits_into_its_minutes_and_the_comparison_with_pytorch_comes_first(tmp_path, capsys):
    assert sum(r.seconds for r in measure_accelerator.RUNS.values()) <= 60 * measure_accelerator.MINUTES
    assert run(tmp_path / "none", "--plan") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[2].startswith("| pod_features | 0 | 85 | --size pod --lyrics features --against torch |")
    assert said[-1] == "540 s of 540"
    assert not (tmp_path / "none").exists()


def test_what_does_not_fit_is_not_begun_and_measured_by_the_same_command_later(helps, tmp_path, capsys):
    assert run(tmp_path, "--minutes", "1.2") == 1
    said = capsys.readouterr().out
    assert "second: not begun, it takes about 90 s" in said
    assert said.endswith("not measured: second; the same command again goes on with them\n")
    (tmp_path / "first.md").write_text("kept\n")
    assert run(tmp_path, "--minutes", "1.6") == 0
    assert capsys.readouterr().out.startswith("kept\n")
    assert "usage: mgc-jax benchmark" in (tmp_path / "second.md").read_text()


def test_a_run_that_is_cut_off_is_given_twice_the_time_at_the_next(helps, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(measure_accelerator, "RUNS", {"first": Run("--help", 0)})
    assert run(tmp_path, "--minutes", "0.001") == 1
    assert "first: cut off after 0 s" in capsys.readouterr().out
    (tmp_path / "first.cut_off").write_text("45")
    assert run(tmp_path, "--minutes", "1") == 1
    assert "it takes about 90 s" in capsys.readouterr().out


def test_a_run_that_fails_does_not_stop_the_others(helps, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(measure_accelerator, "RUNS", {"bad": Run("--size none", 1), "good": Run("--help", 1)})
    assert run(tmp_path) == 1
    assert capsys.readouterr().out.endswith("not measured: bad; the same command again goes on with them\n")
    assert (tmp_path / "good.md").exists()
