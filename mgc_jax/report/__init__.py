"""One HTML page about a run, made from the files of its workdir without any device."""
