"""Scores and labels as hypothesis finds them."""

import hypothesis.extra.numpy as hnp
import numpy as np
from hypothesis import strategies as st


@st.composite
def scored(draw):
    """Scores and labels, both (N, G)."""
    n, g = draw(st.integers(1, 13)), draw(st.integers(1, 7))
    labels = draw(hnp.arrays(np.uint8, (n, g), elements=st.integers(0, 1)))
    scores = draw(hnp.arrays(np.float64, (n, g), elements=st.sampled_from(np.linspace(0, 1, 11).tolist())))
    return scores, labels
