"""The PyTorch twin: the same method in another framework, written from the paper, to check and to race against.

Needs the extra ``torch``. Nothing else in the project imports it.
"""
