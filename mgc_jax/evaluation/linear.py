"""The linear rival: a logistic regression for each genre on features of sound and words that are pooled over time.

Arrays in, scores out. Each modality is standardised on the training tracks and divided by the square root of its width,
so that both weigh alike. Where there are more than :data:`COMPONENTS` features or tracks, the regressions see the
principal components: all of them where these are not more, which changes no score, and the strongest otherwise, which
bounds time and memory.

Axis letters: N tracks, B batch, T frames or audio tokens, M mels or width of an audio token, L lyric tokens, H width of
a lyric token, P word pieces, K components, G genres.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.special import expit

STRENGTHS = (0.1, 1.0, 10.0, 100.0)
"""The values of C that are tried on validation, one after the other until it gets worse."""
COMPONENTS = 512
MOST_PIECES = 4096
"""Of word pieces, the ones that most training tracks have."""
_PIECES = 2**20  # no tokenizer has more
_ITERATIONS = 200
_TOLERANCE = 1e-5


class Pooled(NamedTuple):
    """Tracks without their time axis: ``sound`` (N, 2 M) float32, and ``words``, which are (N, H) float32, or sparse
    counts of word pieces (N, P)."""

    sound: np.ndarray
    words: np.ndarray | sparse.csr_matrix

    @classmethod
    def joined(cls, parts: Sequence[Pooled]) -> Pooled:
        """One behind the other."""
        words = [part.words for part in parts]
        stack = sparse.vstack if sparse.issparse(words[0]) else np.concatenate
        return cls(np.concatenate([part.sound for part in parts]), stack(words))


def pool(frames: np.ndarray, lyrics: np.ndarray, num_tokens: np.ndarray) -> Pooled:
    """The tracks of a batch without their time axis.

    Of ``frames`` (B, T, M) the mean and the standard deviation over time; of ``lyrics`` the mean over the real tokens,
    ``num_tokens`` (B,), where they are features (B, L, H), or counts where they are word pieces (B, L). A track without
    lyrics has zeros.
    """
    heard = frames.astype(np.float32)
    sound = np.concatenate([heard.mean(axis=1), heard.std(axis=1)], axis=1)
    real = np.arange(lyrics.shape[1]) < num_tokens[:, None]
    if lyrics.ndim == 3:
        read = np.where(real[..., None], lyrics, 0).astype(np.float32).sum(axis=1)
        return Pooled(sound, read / np.maximum(num_tokens, 1)[:, None].astype(np.float32))
    rows, pieces = np.nonzero(real)[0], lyrics[real]
    counts = sparse.coo_matrix((np.ones(len(rows), np.float32), (rows, pieces)), (len(lyrics), _PIECES))
    return Pooled(sound, counts.tocsr())


class Features:
    """What the regressions see, as the training tracks scale it."""

    def __init__(self, train: Pooled) -> None:
        from sklearn.decomposition import PCA
        from sklearn.feature_extraction.text import TfidfTransformer
        from sklearn.preprocessing import StandardScaler

        self._sound = StandardScaler().fit(train.sound)
        self._pieces: np.ndarray | None = None
        if isinstance(train.words, np.ndarray):
            self._words = StandardScaler().fit(train.words)
        else:
            tracks_with = train.words.getnnz(axis=0)
            frequent = np.argsort(-tracks_with, kind="stable")[:MOST_PIECES]
            self._pieces = np.sort(frequent[tracks_with[frequent] > 1])
            if len(self._pieces):
                self._words = TfidfTransformer(sublinear_tf=True).fit(train.words[:, self._pieces])
        both = self._both(train)
        self._components = None
        if max(both.shape) > COMPONENTS:
            self._components = PCA(min(COMPONENTS, *both.shape), random_state=0).fit(both)

    def __call__(self, pooled: Pooled) -> np.ndarray:
        """(N, K) float64."""
        both = self._both(pooled)
        seen = self._components.transform(both) if self._components else both
        return seen.astype(np.float64)

    @property
    def sound_mean(self) -> np.ndarray:
        """(2 M,) of the training tracks' pooled sound."""
        return self._sound.mean_

    def affine(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Centre c (P,), scale s (P,), components W (P, K) and shift m (P,): the features of x (N, P) are
        ((x - c) / s - m) W.

        Raises:
            ValueError: the words are word pieces, whose TF-IDF is not linear.
        """
        if self._pieces is not None:
            raise ValueError("word pieces have no affine features")
        both = (self._sound, self._words)
        centre = np.concatenate([part.mean_ for part in both])
        scale = np.concatenate([part.scale_ * np.sqrt(len(part.scale_)) for part in both])
        if self._components is None:
            return centre, scale, np.eye(len(centre)), np.zeros(len(centre))
        return centre, scale, self._components.components_.T, self._components.mean_

    def _both(self, pooled: Pooled) -> np.ndarray:
        sound, words = self._sound.transform(pooled.sound), pooled.words
        sound /= np.sqrt(sound.shape[1])
        if self._pieces is None:
            words = self._words.transform(words)
            words /= np.sqrt(words.shape[1])
        elif len(self._pieces):
            words = self._words.transform(words[:, self._pieces]).toarray()  # rows of length 1 already
        else:
            words = np.zeros((len(sound), 0))
        return np.concatenate([sound, words], axis=1, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class Regressions:
    """Fitted: log odds = ``features`` (N, K) . ``kernel`` (K, G) + ``intercept`` (G,), and C, their ``strength``.

    The intercept of a genre that all training tracks have, or none, is infinite.
    """

    features: Features
    kernel: np.ndarray
    intercept: np.ndarray
    strength: float

    def scores(self, pooled: Pooled) -> np.ndarray:
        """(N, G) float32."""
        return expit(self.features(pooled) @ self.kernel + self.intercept).astype(np.float32)

    def on_pooled(self) -> tuple[np.ndarray, np.ndarray]:
        """The same as a kernel (P, G) and an intercept (G,) for sound and words side by side, as they are pooled.

        Raises:
            ValueError: the words are word pieces, whose TF-IDF is not linear.
        """
        centre, scale, components, shift = self.features.affine()
        kernel = components @ self.kernel
        raw = kernel / scale[:, None]
        return raw, self.intercept - shift @ kernel - centre @ raw


def fit(
    train: Pooled,
    labels: np.ndarray,
    validation: Pooled,
    truth: np.ndarray,
    progress: Callable[[int], None] = lambda genres: None,
) -> Regressions:
    """Fit on the training tracks with ``labels`` (N, G).

    C is the one with the lowest cross-entropy on the ``validation`` tracks, whose labels are ``truth`` (N, G). A genre
    that all training tracks have, or none, gets 1 or 0 as its score. ``progress`` counts fitted genres.
    """
    from threadpoolctl import threadpool_limits

    labels, truth = np.asarray(labels) > 0, np.asarray(truth) > 0
    features = Features(train)
    seen = features(train)
    models = _regressions(labels)
    kernel = np.zeros((seen.shape[1], len(models)))
    always, never = labels.all(axis=0), ~labels.any(axis=0)
    intercept = np.where(always, np.inf, np.where(never, -np.inf, 0.0))
    best: tuple[float, Regressions] | None = None
    with threadpool_limits(1), warnings.catch_warnings():  # on small matrices threads only wait for each other
        warnings.filterwarnings("ignore", message="lbfgs failed to converge")
        for strength in STRENGTHS:
            for genre, model in enumerate(models):
                if model is not None:
                    model.set_params(C=strength).fit(seen, labels[:, genre])
                    kernel[:, genre], intercept[genre] = model.coef_[0], model.intercept_[0]
                progress(1)
            fitted = Regressions(features, kernel.copy(), intercept.copy(), strength)
            loss = _cross_entropy(fitted.scores(validation), truth)
            if best is not None and loss >= best[0]:
                break
            best = loss, fitted
    assert best is not None
    return best[1]


def _regressions(labels: np.ndarray) -> list[Any]:
    """One for each genre, which starts where it ended at the C before; None for a genre that needs none."""
    from sklearn.linear_model import LogisticRegression

    return [
        LogisticRegression(warm_start=True, max_iter=_ITERATIONS, tol=_TOLERANCE) if len(set(column)) > 1 else None
        for column in labels.T.tolist()
    ]


def _cross_entropy(scores: np.ndarray, truth: np.ndarray) -> float:
    likelihood = np.where(truth, scores, 1.0 - scores.astype(np.float64))
    return float(-np.log(np.maximum(likelihood, 1e-6)).mean())
