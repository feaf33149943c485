"""The command line with :func:`by_pitch` for musicnn: ``python -m tests.support.pitch_command predict ...``."""

import sys

from mgc_jax.cli import main
from mgc_jax.inference import tagger
from tests.support.pitch_tagger import by_pitch

if __name__ == "__main__":
    tagger.TAGGERS["musicnn"] = by_pitch
    sys.exit(main(sys.argv[1:]))
