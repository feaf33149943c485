"""The PyTorch twin: the same method in another framework, written from the paper, to check and to race against.

Needs the extra ``torch``. Only the command line knows it, for a race.
"""
