"""Lyrics: files of any encoding and with any mark-up -> plain text -> the word pieces of an encoder."""
