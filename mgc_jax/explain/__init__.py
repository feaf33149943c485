"""Why a song got its genres: what each second, each word and each related genre does."""
