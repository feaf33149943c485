"""``python -m mgc_jax`` is ``mgc-jax``."""

import sys

from mgc_jax.cli import main

sys.exit(main())
