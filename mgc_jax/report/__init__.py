"""One HTML page about a run, made from files; the tracks that it explains alone ask the model."""
