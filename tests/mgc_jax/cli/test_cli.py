"""The command line's own parts; what each command does is tested with what it calls."""

from pathlib import Path

import pytest

import mgc_jax.cli
from data_pipeline.errors import InputError
from mgc_jax.cli import entry, opening


def test_every_module_with_a_command_is_listed_by_its_name():
    folder = Path(mgc_jax.cli.__file__).parent
    files = {path.stem for path in folder.glob("*.py") if "\nCOMMAND = " in path.read_text("utf-8")}
    assert {command.name for command in entry.COMMANDS} == files
    assert len(entry.COMMANDS) == len(files)


@pytest.mark.parametrize("command", entry.COMMANDS, ids=lambda command: command.name)
def test_the_example_of_the_help_can_be_given(command):
    program, *words = command.example.split()
    rest, _ = entry._take_overrides(words)
    options = mgc_jax.cli.parser().parse_args(rest)
    assert (program, options.command, options.run) == ("mgc-jax", command.name, command.run)


@pytest.mark.parametrize("command", entry.COMMANDS, ids=lambda command: command.name)
def test_each_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as end:
        mgc_jax.cli.main([command.name, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: mgc-jax {command.name} ")
    assert text.endswith(f"example: {command.example}\n")


def test_a_command_that_forgets_an_argument_is_one_sentence(capsys):
    with pytest.raises(SystemExit) as end:
        mgc_jax.cli.main(["push"])
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_overrides_are_split_off_in_both_forms():
    words = [
        "train",
        "--config.a.b=1",
        "--data",
        "d",
        "--config.c",
        "2",
        "--config",
        "r.py",
        "--config.flag",
        "--seeds",
        "3",
    ]
    rest, overrides = entry._take_overrides(words)
    assert rest == ["train", "--data", "d", "--config", "r.py", "--seeds", "3"]
    assert overrides == ["a.b=1", "c=2", "flag"]


def test_lyrics_that_count_as_none_are_said(tmp_path, capsys):
    file = tmp_path / "song.txt"
    file.write_text("[00:00.00]Instrumental")
    assert opening.read_lyrics(str(file)) is None
    assert capsys.readouterr().err == f"{file} counts as no lyrics: instrumental\n"
    file.write_bytes(b"%PDF-1.7")
    with pytest.raises(InputError, match="a PDF document"):
        opening.read_lyrics(str(file))
    file.write_text("[00:00.00]Walking home")
    assert opening.read_lyrics(str(file)) == "Walking home"
    assert opening.read_lyrics("-") is None
    assert not capsys.readouterr().err
