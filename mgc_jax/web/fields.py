"""Which fields a form may have; one that would be passed by is refused."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable

from fastapi import Request

from data_pipeline.errors import InputError

_FILE, _MANY = "audio", "genres"


def only(*names: str) -> Callable[[Request], Awaitable[None]]:
    """What checks a request: a form of fields with these ``names``, each once but for ``genres``, ``audio`` a file and
    the others text, and nothing behind a question mark in the address; raises InputError otherwise."""

    async def check(request: Request) -> None:
        if request.query_params:
            raise InputError("Send fields in the form, not behind a question mark in the address.")
        form = await request.form()
        for name, value in form.multi_items():
            if name not in names:
                near = difflib.get_close_matches(name, names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names)}."
                raise InputError(f"There is no field {name!r:.80}; {hint}")
            if name != _MANY and len(form.getlist(name)) > 1:
                raise InputError(f"The field {name} is there {len(form.getlist(name))} times: send it once.")
            if name == _FILE and isinstance(value, str):
                raise InputError(f'The field {name} is text, and is to be a file with a name: -F "{name}=@song.mp3".')
            if name != _FILE and not isinstance(value, str):
                raise InputError(f'The field {name} is a file, and is to be text: -F "{name}=<words.txt".')

    return check
