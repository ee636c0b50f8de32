"""References to files kept here: each dialect's form of the file itself, and every other byte as it was sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ruxa.dialects import DIALECTS, references
from ruxa.dialects.dialect import Place
from ruxa.dialects.references import Inside

ID = "file_" + "0123456789abcdef" * 2
PDF = Inside(name="a b.pdf", media_type="application/pdf", data=b"%PDF-1")
PNG = Inside(name="a.png", media_type="image/png", data=b"\x89PNG")
TXT = Inside(name="a.txt", media_type="text/plain", data="grüße".encode())
PDF_URL = "data:application/pdf;base64,JVBERi0x"
PNG_URL = "data:image/png;base64,iVBORw=="


@pytest.mark.parametrize(
    ("part", "file", "becomes"),
    [
        (
            {"type": "file", "file": {"file_id": ID}},
            PDF,
            {"type": "file", "file": {"filename": "a b.pdf", "file_data": PDF_URL}},
        ),
        ({"type": "file", "file": {"file_id": ID}}, PNG, {"type": "image_url", "image_url": {"url": PNG_URL}}),
        (
            {"type": "input_file", "file_id": ID},
            PDF,
            {"type": "input_file", "filename": "a b.pdf", "file_data": PDF_URL},
        ),
        (
            {"type": "input_image", "file_id": ID, "detail": "low"},
            PNG,
            {"type": "input_image", "detail": "low", "image_url": PNG_URL},
        ),
        ({"type": "input_file", "file_id": ID}, PNG, {"type": "input_image", "image_url": PNG_URL}),
        (
            {"type": "document", "source": {"type": "file", "file_id": ID}},
            PDF,
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"},
            },
        ),
        (
            {"type": "document", "source": {"type": "file", "file_id": ID}},
            TXT,
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "grüße"}},
        ),
        (
            {"fileData": {"fileUri": f"https://ai.example/v1beta/files/{ID[5:]}", "mimeType": "application/pdf"}},
            PDF,
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0x"}},
        ),
        (
            {"videoMetadata": {"fps": 1}, "file_data": {"file_uri": f"files/{ID[5:]}", "mime_type": "video/mp4"}},
            Inside(name="a", media_type="application/octet-stream", data=b"%PDF-1"),
            {"videoMetadata": {"fps": 1}, "inlineData": {"mimeType": "video/mp4", "data": "JVBERi0x"}},
        ),
    ],
)
def test_a_reference_becomes_the_file(part: dict[str, Any], file: Inside, becomes: dict[str, Any]) -> None:
    body = json.dumps({"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]}).encode()
    told = json.loads(references.expand(body, {ID: file}))
    assert told == {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, becomes]}]}


def test_every_other_byte_stays() -> None:
    beside = b'{ "seed" : 1.0, "big": 123456789012345678901234567890, "text":"\\u00e9 \\/" }'
    reference = b'{"type":"input_file","file_id":"%b"}' % ID.encode()
    body = b'{"beside":%b,"input":[%b,%b]}' % (beside, beside, reference)
    out = references.expand(body, {ID: PDF})
    assert out.count(beside) == 2
    assert references.expand(out, {ID: PDF}) == out
    assert references.expand(body, {}).count(b"file_id") == 1


@pytest.mark.parametrize(
    ("dialect", "endpoint", "body"),
    [
        (
            "openai_chat",
            "chat",
            {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": ID}}]}]},
        ),
        (
            "openai_responses",
            "responses",
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": ID}]}]},
        ),
        (
            "anthropic_messages",
            "messages",
            {
                "max_tokens": 5,
                "messages": [
                    {"role": "user", "content": [{"type": "document", "source": {"type": "file", "file_id": ID}}]}
                ],
            },
        ),
        (
            "gemini_generate",
            "generate",
            {"contents": [{"parts": [{"fileData": {"fileUri": f"http://h:1/gemini/v1beta/files/{ID[5:]}"}}]}]},
        ),
        (
            "gemini_generate",
            "count_tokens",
            {"generateContentRequest": {"contents": [{"parts": [{"file_data": {"file_uri": f"files/{ID[5:]}"}}]}]}},
        ),
    ],
)
def test_the_dialects_name_references_and_read_what_they_become(
    dialect: Any, endpoint: Any, body: dict[str, Any]
) -> None:
    speaks = DIALECTS[dialect]
    place = Place(dialect=dialect, endpoint=endpoint)
    envelope = speaks.read(place, json.dumps({"model": "m", **body}).encode())
    assert references.named(envelope) == (ID,)
    again = speaks.read(place, references.expand(envelope.body, {ID: PDF}))
    assert again.claims == ()
    assert references.named(again) == ()
    assert (again.load.documents, again.load.file_ids) == (1, 0)
    told = json.dumps({"model": "m", **body}).replace(ID, "file-of-somebody").replace(ID[5:], "abc-123")
    text = speaks.read(place, told.encode())
    assert references.named(text) == ()


@pytest.mark.parametrize(
    ("dialect", "body", "text", "path"),
    [
        ("openai_chat", {"messages": [{"content": [{"file": {"file_id": ID}}]}]}, ID,
         "messages[0].content[0].file.file_id"),
        ("anthropic_messages", {"messages": [{"content": [1, {"source": {"file_id": ID}}]}]}, ID,
         "messages.0.content.1.source.file_id"),
        ("gemini_generate", {"contents": [{"parts": [{"fileData": {"fileUri": f"http://h/v1/files/{ID[5:]}"}}]}]}, ID,
         "contents[0].parts[0].file_data.file_uri"),
        ("openai_responses", {"input": [{"image_url": "http://10.0.0.1/"}]}, "http://10.0.0.1/", "input[0].image_url"),
        ("openai_chat", {"messages": []}, ID, None),
    ],
)  # fmt: skip
def test_a_reference_is_found_by_its_path(dialect: Any, body: dict[str, Any], text: str, path: str | None) -> None:
    assert references.path_of(json.dumps(body).encode(), text, dialect) == path
