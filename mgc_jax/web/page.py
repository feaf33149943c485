"""What the page looks like and what its button does: the only file that knows Gradio."""

from __future__ import annotations

import html
import os
from functools import partial
from pathlib import Path

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported

import gradio as gr
from fastapi import FastAPI

from data_pipeline.errors import InputError
from data_pipeline.lyrics.reading import MAX_BYTES
from mgc_jax.api import Model, Tagger
from mgc_jax.evaluation import results
from mgc_jax.explain.explanation import Explanation
from mgc_jax.inference.predictor import Embedding
from mgc_jax.inference.song import Failure, Song
from mgc_jax.web import result
from mgc_jax.web.neighbours import SimilarSongs
from mgc_jax.web.queue import Job, SongQueue, UnavailableError, Work

KEPT_SECONDS = 900
"""How long an uploaded song stays on the disk: its page plays it meanwhile."""
UPLOADS = "GRADIO_TEMP_DIR"
"""The environment variable that names the folder for uploaded songs."""


def page(songs: SongQueue, megabytes: int, similar: SimilarSongs | None = None) -> FastAPI:
    """The page as a web application; a file that is uploaded may have so many ``megabytes`` (MiB)."""
    app = FastAPI(openapi_url=None)
    if similar:
        similar.serve(app)
    blocks = _blocks(songs, megabytes, similar)
    blocks.queue(default_concurrency_limit=None, api_open=False)  # the songs' own queue limits
    served = gr.mount_gradio_app(
        app,
        blocks,
        path="/",
        max_file_size=f"{megabytes}mb",
        css=result.STYLE,
        footer_links=[],
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        run_history=False,
        enable_monitoring=False,
    )
    blocks.has_launched = blocks.is_running = True  # else Gradio 6.31 hears any file of this machine, uploaded or not
    return served


def answer(songs: SongQueue, song: str | None, lyrics: str, similar: SimilarSongs | None = None) -> tuple[str, str]:
    """The genres of a file and their reasons, as HTML; a mistake is told in place of the genres."""
    if not song:
        return result.problem("There is no song yet: drop one, or choose a file."), ""
    if not Path(song).exists():
        return result.problem("This song was deleted meanwhile, as all are after a while: drop it again."), ""
    try:
        asked = Job(Work.EXPLAIN, Song(song, lyrics or None))
        found = songs.ask(asked)
        like_it = _like_it(songs, similar, asked) if isinstance(found, Explanation) else ""
    except UnavailableError as error:
        return result.problem(str(error)), ""
    if isinstance(found, Failure):
        return result.problem(f"{Path(song).name}: {found.reason}."), ""
    thresholds = dict(zip(songs.model.genres, songs.model.thresholds.tolist(), strict=True))
    assert isinstance(found, Explanation)
    return result.genres(found.prediction, thresholds) + like_it, result.reasons(found)


def _like_it(songs: SongQueue, similar: SimilarSongs | None, explained: Job) -> str:
    """The songs of the collection that are like one that was explained, as HTML."""
    if similar is None:
        return ""
    embedding = songs.ask(Job(Work.EMBED, explained.song, sound=explained.sound))
    assert isinstance(embedding, Embedding)  # for the song has been explained
    return similar.found(embedding)


def _blocks(songs: SongQueue, megabytes: int, similar: SimilarSongs | None) -> gr.Blocks:
    with gr.Blocks(title="mgc-jax", analytics_enabled=False, delete_cache=(60, KEPT_SECONDS)) as page:
        gr.HTML(_introduction(songs.model))
        with gr.Row():
            with gr.Column(min_width=300):
                song = gr.Audio(
                    label=f"Song (any length, up to {megabytes} MiB)",
                    sources=["upload", "microphone"],
                    type="filepath",
                    editable=False,
                    buttons=["download"],  # another one would share the song with the world
                    elem_id="song",
                )
                lyrics = gr.Textbox(
                    label="Lyrics, if it has any",
                    placeholder="Paste the words here.",
                    lines=8,
                    max_lines=12,
                    max_length=MAX_BYTES + 1,  # what is longer is refused, not cut
                    elem_id="lyrics",
                    visible=songs.model.reads_lyrics,
                )
                submit = gr.Button("Name its genres", variant="primary", elem_id="ask")
            with gr.Column(min_width=300):
                genres = gr.HTML(label="Genres", elem_id="genres", min_height=200, padding=True)
        why = gr.HTML(elem_id="why", padding=True)
        gr.on(
            [submit.click],
            partial(answer, songs, similar=similar),
            inputs=[song, lyrics],
            outputs=[genres, why],
            api_visibility="private",
        )
    return page


def _introduction(model: Model | Tagger) -> str:
    trust = f"{model.about} {model.licence_warning}".strip() if isinstance(model, Tagger) else _measured(model)
    how = "Named from how it sounds, with the seconds that speak for it."
    if model.reads_lyrics:
        how = "Named from how it sounds and what it says, with the reasons: the seconds and words that speak for them."
    known = f"The model knows {len(model.genres)} genres: {', '.join(model.genres)}."
    return (
        f"<h1>What genres is this song?</h1><p>{html.escape(f'{how} {known} {trust}')} Songs stay on the machine that "
        "serves this page and are deleted after a while.</p>"
    )


def _measured(model: Model) -> str:
    """How far a trained model is to be trusted."""
    try:
        evaluations = results.evaluations(model.folder.path, model.genres)
    except InputError:
        evaluations = {}
    evaluation = results.of_step(evaluations, int(model.state.step)).get("test")
    if evaluation is None:
        how_good = "How good it is was not measured: mgc-jax evaluate does."
    else:
        score = evaluation.metrics["map_macro"]
        figure = "" if score is None else f", with a macro-mAP of {score:.2f} (1 is perfect)"
        which = (
            "of another collection than the one that it learned from"
            if evaluation.other_data
            else ("that it had not learned from")
        )
        how_good = f"It was tried on {evaluation.tracks} songs {which}{figure}."
    if results.generated(evaluations):
        how_good += " It learned from generated music alone, so what it says of a real song means little."
    return how_good
