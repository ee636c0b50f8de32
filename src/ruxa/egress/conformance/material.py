"""What cases are made of where the content is not the point: small real media, a plain request and a plain answer."""

from __future__ import annotations

import base64
import struct
import zlib


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


# One red pixel.
PNG = (
    b"\x89PNG\r\n\x1a\n"
    + _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    + _chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00", 9))
    + _chunk(b"IEND", b"")
)
# One empty page.
PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj\n"
    b"3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)
# A hundredth of a second of silence.
_SOUND = struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16) + b"data" + struct.pack("<I", 160) + bytes(160)
WAV = b"RIFF" + struct.pack("<I", 36 + 160) + b"WAVEfmt " + _SOUND

# A proof of thinking as each vendor's looks from outside: nobody but it can make or read one.
SIGNATURE = "EqQBCkYIBhgCKkA2wire+conformance/signature0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH=="
THOUGHT_SIGNATURE = "CpcBAVSoXO5Xb2lyZS1jb25mb3JtYW5jZS10aG91Z2h0LXNpZ25hdHVyZS0wMTIzNDU2Nzg5"
ENCRYPTED = "gAAAAABwireConformanceEncryptedReasoning-0123456789_abcdefghijklmnopqrstuvwxyz=="

VALUES = {
    "png": base64.b64encode(PNG).decode(),
    "pdf": base64.b64encode(PDF).decode(),
    "wav": base64.b64encode(WAV).decode(),
    "signature": SIGNATURE,
    "thought_signature": THOUGHT_SIGNATURE,
    "encrypted": ENCRYPTED,
}

REQUESTS = {
    "OC": '{"model":"{{model}}","messages":[{"role":"user","content":"Say it."}]}',
    "OR": '{"model":"{{model}}","input":"Say it.","store":false}',
    "AM": '{"model":"{{model}}","max_tokens":1024,"messages":[{"role":"user","content":"Say it."}]}',
    "GG": '{"contents":[{"role":"user","parts":[{"text":"Say it."}]}]}',
}
# What that answer is, and where each dialect's caller has to find it.
SAID = "It is said."
SAID_AT = {
    "OC": "choices.0.message.content",
    "OR": "output.type=message.0.content.0.text",
    "AM": "content.type=text.0.text",
    "GG": "candidates.0.content.parts.0.text",
}
ANSWERS = {
    "OC": '{"id":"chatcmpl-wire1","object":"chat.completion","created":1764000000,"model":"{{upstream_model}}",'
    '"choices":[{"index":0,"message":{"role":"assistant","content":"It is said.","refusal":null},'
    '"finish_reason":"stop","logprobs":null}],'
    '"usage":{"prompt_tokens":11,"completion_tokens":5,"total_tokens":16}}',
    "OR": '{"id":"resp_wire1","object":"response","created_at":1764000000,"status":"completed","error":null,'
    '"incomplete_details":null,"instructions":null,"model":"{{upstream_model}}","output":[{"type":"message",'
    '"id":"msg_wire1","status":"completed","role":"assistant","content":[{"type":"output_text","text":"It is said.",'
    '"annotations":[]}]}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"store":false,"metadata":{},'
    '"usage":{"input_tokens":11,"input_tokens_details":{"cached_tokens":0,"cache_write_tokens":0},'
    '"output_tokens":5,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":16}}',
    "AM": '{"id":"msg_wire1","type":"message","role":"assistant","model":"{{upstream_model}}",'
    '"content":[{"type":"text","text":"It is said."}],"stop_reason":"end_turn","stop_sequence":null,'
    '"usage":{"input_tokens":11,"output_tokens":5}}',
    "GG": '{"candidates":[{"content":{"parts":[{"text":"It is said."}],"role":"model"},"finishReason":"STOP",'
    '"index":0}],"usageMetadata":{"promptTokenCount":11,"candidatesTokenCount":5,"totalTokenCount":16},'
    '"modelVersion":"{{upstream_model}}","responseId":"wire1"}',
}
