"""Which dialect and endpoint a request speaks, by method, path, query and headers; and where its key is.

The paths of three vendors live side by side, with the prefixes that other gateways use (``/openai/v1``,
``/anthropic/v1``, ``/gemini/v1beta``) for a one-line move. A path under one of these roofs that is not served gets a
404 in the dialect of the path; any other path is none of ours (``None``).
"""

from __future__ import annotations

from collections.abc import Mapping

from ruxa.dialects.dialect import Place


def locate(method: bytes, path: bytes, query: bytes, headers: Mapping[bytes, bytes]) -> Place | None:
    """The place of a request (raw path and query, lower-case header names), or None when no dialect owns the path."""
    raise NotImplementedError


def find_key(headers: Mapping[bytes, bytes], query: bytes) -> bytes | None:
    """The caller's key: Authorization Bearer, x-api-key, x-goog-api-key or ``?key=``. None when there is none.

    Two different keys in one request are ambiguous: Unauthenticated.
    """
    raise NotImplementedError
