"""The one exception that a person's mistake or a broken file raises."""


class InputError(Exception):
    """Bad input, in one sentence that says what is wrong and what to do; the CLI prints it and exits with 2."""
