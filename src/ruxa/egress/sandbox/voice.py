"""Speech of the sandbox: WAV files of a tone for each character, which carry their text and so can be heard again."""

from __future__ import annotations

import math
import struct

RATE = 24_000
CHARACTER_S = 0.02
_SAMPLES = int(RATE * CHARACTER_S)
_TONES = 24


def _tone(number: int) -> bytes:
    pitch = 220.0 * 2 ** (number / 12)
    return b"".join(
        struct.pack("<h", int(6000 * math.sin(2 * math.pi * pitch * at / RATE) * math.sin(math.pi * at / _SAMPLES)))
        for at in range(_SAMPLES)
    )


_WAVES = [_tone(number) for number in range(_TONES)]
_SILENCE = bytes(2 * _SAMPLES)


def samples(text: str) -> bytes:
    """The text as 16 bit mono samples."""
    return b"".join(_SILENCE if char.isspace() else _WAVES[ord(char) % _TONES] for char in text)


def wav(text: str) -> bytes:
    """The text as a WAV file with the text in its comment."""
    sound = samples(text)
    said = text.encode()
    comment = b"ICMT" + struct.pack("<I", len(said)) + said + b"\0" * (len(said) % 2)
    chunks = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, RATE, RATE * 2, 2, 16)
    chunks += b"LIST" + struct.pack("<I", len(comment) + 4) + b"INFO" + comment
    chunks += b"data" + struct.pack("<I", len(sound)) + sound
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WAVE" + chunks


def hear(data: bytes) -> tuple[str, float]:
    """What is said in a file, and how many seconds it lasts; of a file of somebody else only its size is understood."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return f"Sandbox: I heard {len(data)} bytes of audio.", round(len(data) / 16_000, 2)
    text, seconds, rate = "", 0.0, RATE * 2
    at = 12
    while at + 8 <= len(data):
        kind, size = data[at : at + 4], int.from_bytes(data[at + 4 : at + 8], "little")
        body = data[at + 8 : at + 8 + size]
        if kind == b"fmt " and size >= 16:
            rate = max(int.from_bytes(body[8:12], "little"), 1)
        elif kind == b"LIST" and body[4:8] == b"ICMT":
            length = int.from_bytes(body[8:12], "little")
            text = body[12 : 12 + length].decode("utf-8", "replace")
        elif kind == b"data":
            seconds = len(body) / rate
        at += 8 + size + size % 2
    return text or f"Sandbox: I heard {seconds:.2f} seconds of audio.", round(seconds, 2)
