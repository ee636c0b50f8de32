"""How long an audio file can last at most, and about how long it lasts, by its bytes: nothing of it is decoded."""

from __future__ import annotations

import re
import struct

# The lowest rate of the codecs that providers take: Opus and Speex at 6 kbit/s.
BYTES_PER_S_MIN = 750
# A usual rate of compressed speech: 128 kbit/s.
BYTES_PER_S_USUAL = 16_000
_PCM = frozenset({1, 3, 0xFFFE})
_CHUNKS_MAX = 64
_STAMP = re.compile(r"(?:(\d{2,3}):)?(\d{2}):(\d{2})[,.](\d{3})")


def seconds_max(data: memoryview) -> int:
    """The most seconds that the file can last, rounded up."""
    rate = _wave_rate(data)
    return -(-len(data) // (rate or BYTES_PER_S_MIN))


def seconds_about(data: memoryview) -> int:
    """About how many seconds it lasts, rounded up; of an uncompressed WAV exactly."""
    rate = _wave_rate(data)
    return -(-len(data) // (rate or BYTES_PER_S_USUAL))


def seconds_told(text: str) -> int:
    """Where the last caption of an SRT or WebVTT text ends, in seconds rounded up; 0 without one."""
    last = 0
    for hours, minutes, seconds, thousandths in _STAMP.findall(text):
        at = (int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)) * 1000 + int(thousandths)
        last = max(last, at)
    return -(-last // 1000)


def _wave_rate(data: memoryview) -> int:
    """Bytes a second of an uncompressed WAV, from what a decoder multiplies; 0 for anything else."""
    if bytes(data[:4]) != b"RIFF" or bytes(data[8:12]) != b"WAVE":
        return 0
    at = 12
    for _ in range(_CHUNKS_MAX):
        if at + 24 > len(data):
            return 0
        name, size = bytes(data[at : at + 4]), int.from_bytes(data[at + 4 : at + 8], "little")
        if name == b"fmt ":
            form, channels, sampled, _, _, bits = struct.unpack_from("<HHIIHH", data, at + 8)
            rate = sampled * channels * (bits // 8)
            return rate if form in _PCM and rate >= BYTES_PER_S_MIN else 0
        at += 8 + size + size % 2
    return 0
