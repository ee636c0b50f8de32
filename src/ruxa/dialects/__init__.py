"""The room dialects: wire formats, pure functions of bytes. Nothing here knows a socket, a clock or a file.

The contract is ``dialect.py``; one folder per dialect fulfils it; ``usage.py`` is the vector that all of them read
answers into; ``paths.py`` tells which dialect a request speaks and finds its key.
"""
