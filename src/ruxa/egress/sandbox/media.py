"""The sandbox in OpenAI's dialect beside chat: images, speech, transcriptions, moderations."""

from __future__ import annotations

import base64
import hashlib
import re

from ruxa.dialects import multipart
from ruxa.egress.sandbox import mind, picture, voice
from ruxa.egress.sandbox.faults import fault_of
from ruxa.egress.sandbox.fields import Json, encode, is_array, mapping, parse, text
from ruxa.egress.sandbox.openai import ERRORS, error, fault_error, refuse
from ruxa.egress.sandbox.reply import Asked, Said, Step
from ruxa.kernel.errors import RuxaError

MODELS = ("sandbox/image", "sandbox/speech", "sandbox/transcribe", "sandbox/moderation")
VOICES = frozenset(
    {"alloy", "ash", "ballad", "cedar", "coral", "echo", "fable", "marin", "nova", "onyx", "sage", "shimmer", "verse"}
)
IMAGE_TOKENS = {"low": 272, "medium": 1056, "high": 4160, "xhigh": 8320, "max": 16_640}
INPUT_IMAGE_TOKENS = 85
PARTIAL_TOKENS = 100
SECONDS_PER_CAPTION = 5.0
_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})\Z")
WORDS = {
    "kill": "violence",
    "murder": "violence",
    "blood": "violence/graphic",
    "hate": "hate",
    "idiot": "harassment",
    "suicide": "self-harm",
    "bomb": "illicit/violent",
    "shoplift": "illicit",
    "sex": "sexual",
}
CATEGORIES = (
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
)


def answer(asked: Asked, rest: str) -> Said | None:
    """What a ``POST`` below ``/v1`` gets; None for a path that is none of these. Raises Refusal."""
    if rest == "images/generations":
        return _images(asked, _body(asked), 0, "image_generation")
    if rest == "images/edits":
        fields, files = _form(asked)
        given = [data for name, data in files if name in ("image", "image[]")]
        if not given:
            refuse("Missing required parameter: 'image'.", "image", "missing_required_parameter")
        return _images(asked, fields, len(files), "image_edit")
    if rest == "audio/speech":
        return _speech(_body(asked))
    if rest in ("audio/transcriptions", "audio/translations"):
        return _transcription(*_form(asked), translates=rest == "audio/translations")
    if rest == "moderations":
        return _moderation(asked, _body(asked))
    return None


def _body(asked: Asked) -> Json:
    body = parse(asked.body)
    if body is None:
        refuse("We could not parse the JSON body of your request.", None)
    return body


def _form(asked: Asked) -> tuple[Json, list[tuple[str, bytes]]]:
    """Plain values by name, and files."""
    boundary = multipart.boundary_of(asked.headers.get("content-type", "").encode())
    try:
        parts = multipart.read(asked.body, boundary)
    except RuxaError as fault:
        refuse(fault.public, None)
    fields: Json = {}
    files: list[tuple[str, bytes]] = []
    for part in parts:
        data = asked.body[part.start : part.end]
        if part.filename is None:
            fields[part.name] = data.decode("utf-8", "replace")
        else:
            files.append((part.name, data))
    return fields, files


def _begin(body: Json, prompt: str) -> Said:
    """An answer with the fault that the model or the text asks for. Raises Refusal."""
    if not text(body.get("model")):
        refuse("you must provide a model parameter", None)
    marks = dict(mind.MARK.findall(prompt))
    fault = fault_of(body["model"], marks)
    if fault in ERRORS:
        raise fault_error(fault)
    return Said(
        fault=fault,
        pace_ms=mind.number(marks, "pace-ms", 0, 10_000) if "pace-ms" in marks else None,
        delay_ms=mind.number(marks, "delay-ms", 0, 600_000),
        error_frame=_event(error("The engine is currently overloaded.", "server_error")),
    )


def _event(body: Json) -> bytes:
    name = text(body.get("type"))
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + encode(body) + b"\n\n"


def _whole_number(body: Json, name: str, usual: int, least: int, most: int) -> int:
    given = body.get(name)
    if given is None or given == "":
        return usual
    number = int(given) if isinstance(given, str) and given.isdigit() else given
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
        refuse(f"Invalid value for '{name}'.", name, "invalid_value")
    return number


def _images(asked: Asked, body: Json, inputs: int, kind: str) -> Said:
    prompt = text(body.get("prompt"))
    if not prompt:
        refuse("Missing required parameter: 'prompt'.", "prompt", "missing_required_parameter")
    said = _begin(body, prompt)
    count = _whole_number(body, "n", 1, 1, 10)
    partials = _whole_number(body, "partial_images", 0, 0, 3)
    size = text(body.get("size")) or "auto"
    found = _SIZE.match("1024x1024" if size == "auto" else size)
    if found is None or max(int(found[1]), int(found[2])) > picture.SIDE_MAX:
        refuse(f"Invalid value: '{size}'.", "size", "invalid_value")
    width, height = int(found[1]), int(found[2])
    quality = text(body.get("quality")) or "auto"
    level = "medium" if quality in ("auto", "standard") else "high" if quality == "hd" else quality
    if level not in IMAGE_TOKENS:
        refuse(f"Invalid value: '{quality}'.", "quality", "invalid_value")
    each = -(-IMAGE_TOKENS[level] * width * height // (1024 * 1024))
    words = len(mind.tokens(prompt))
    made = [picture.png(f"{prompt}\0{index}", width, height) for index in range(count)]
    facts: Json = {"background": "opaque", "output_format": "png", "quality": level, "size": f"{width}x{height}"}
    streams = str(body.get("stream")).lower() == "true"

    def usage(images: int, inside: int) -> Json:
        out = images * (each + (partials * PARTIAL_TOKENS if streams else 0))
        pictures = inputs * INPUT_IMAGE_TOKENS if inside else 0
        return {
            "input_tokens": inside + pictures,
            "input_tokens_details": {"text_tokens": inside, "image_tokens": pictures},
            "output_tokens": out,
            "total_tokens": inside + pictures + out,
        }

    if not streams:
        data = [{"b64_json": base64.b64encode(one).decode()} for one in made]
        said.body = encode({"created": asked.at_s, **facts, "data": data, "usage": usage(count, words)})
        return said
    said.content_type = "text/event-stream; charset=utf-8"
    said.steps = []
    for index, one in enumerate(made):
        for partial in range(partials):
            small = base64.b64encode(picture.png(f"{prompt}\0{index}", 64, 64)).decode()
            event = {"type": f"{kind}.partial_image", "b64_json": small, "partial_image_index": partial}
            said.steps.append(Step(_event({**event, "created_at": asked.at_s, **facts}), token=True))
        event = {"type": f"{kind}.completed", "b64_json": base64.b64encode(one).decode(), "created_at": asked.at_s}
        told = {} if said.fault == "no-usage" else {"usage": usage(1, words if index == 0 else 0)}
        said.steps.append(Step(_event({**event, **facts, **told}), token=True))
    return said


def _speech(body: Json) -> Said:
    said_text = text(body.get("input"))
    if not said_text:
        refuse("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    said = _begin(body, said_text)
    who = body.get("voice")
    if who not in VOICES and not text(mapping(who).get("id")):
        refuse(f"Invalid value: '{who}'.", "voice", "invalid_value")
    form = text(body.get("response_format")) or "wav"
    plain = form == "pcm"
    data = voice.samples(said_text) if plain else voice.wav(said_text)
    step = 24_000
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    if body.get("stream_format") == "sse":
        said.content_type = "text/event-stream; charset=utf-8"
        said.steps = [
            Step(_event({"type": "speech.audio.delta", "audio": base64.b64encode(piece).decode()}), token=True)
            for piece in pieces
        ]
        count = len(said_text)
        usage = {"input_tokens": count, "output_tokens": 0, "total_tokens": count}
        said.steps.append(Step(_event({"type": "speech.audio.done", "usage": usage})))
        return said
    said.content_type = "audio/pcm" if plain else "audio/wav"
    said.steps = [Step(piece, token=True) for piece in pieces]
    said.error_frame = encode(error("The engine is currently overloaded.", "server_error"))
    return said


def _transcription(body: Json, files: list[tuple[str, bytes]], *, translates: bool) -> Said:
    found = [data for name, data in files if name == "file"]
    if not found:
        refuse("Missing required parameter: 'file'.", "file", "missing_required_parameter")
    said_text, seconds = voice.hear(found[0])
    said = _begin(body, f"{text(body.get('prompt'))} {said_text}")
    form = text(body.get("response_format")) or "json"
    usage = {"type": "duration", "seconds": seconds}
    if str(body.get("stream")).lower() == "true" and not translates:
        said.content_type = "text/event-stream; charset=utf-8"
        words = re.findall(r"\S+\s*", said_text)
        said.steps = [Step(_event({"type": "transcript.text.delta", "delta": word}), token=True) for word in words]
        done: Json = {"type": "transcript.text.done", "text": said_text}
        said.steps.append(Step(_event(done if said.fault == "no-usage" else {**done, "usage": usage})))
        return said
    if form == "text":
        said.content_type, said.body = "text/plain; charset=utf-8", said_text.encode() + b"\n"
    elif form == "srt":
        lines = [
            f"{n}\n{_stamp(a, ',')} --> {_stamp(b, ',')}\n{part}\n" for n, a, b, part in _captions(said_text, seconds)
        ]
        said.content_type, said.body = "text/plain; charset=utf-8", "\n".join(lines).encode()
    elif form == "vtt":
        lines = [f"{_stamp(a, '.')} --> {_stamp(b, '.')}\n{part}\n" for _, a, b, part in _captions(said_text, seconds)]
        said.content_type, said.body = "text/plain; charset=utf-8", ("WEBVTT\n\n" + "\n".join(lines)).encode()
    elif form == "verbose_json":
        segments = [_segment(n - 1, a, b, part) for n, a, b, part in _captions(said_text, seconds)]
        task = "translate" if translates else "transcribe"
        head: Json = {"task": task, "language": "english", "duration": seconds, "text": said_text}
        said.body = encode({**head, "segments": segments, "usage": usage})
    elif form == "json":
        said.body = encode({"text": said_text} if said.fault == "no-usage" else {"text": said_text, "usage": usage})
    else:
        refuse(f"Invalid value: '{form}'.", "response_format", "invalid_value")
    return said


def _captions(said: str, seconds: float) -> list[tuple[int, float, float, str]]:
    """Number, start, end and text of each caption."""
    words = said.split()
    count = max(int(-(-seconds // SECONDS_PER_CAPTION)), 1)
    share = max(-(-len(words) // count), 1)
    parts = [" ".join(words[at : at + share]) for at in range(0, len(words), share)] or [""]
    length = seconds / len(parts)
    return [(n + 1, n * length, (n + 1) * length, part) for n, part in enumerate(parts)]


def _stamp(at: float, mark: str) -> str:
    whole = round(at * 1000)
    return f"{whole // 3_600_000:02}:{whole // 60_000 % 60:02}:{whole // 1000 % 60:02}{mark}{whole % 1000:03}"


def _segment(number: int, start: float, end: float, part: str) -> Json:
    return {
        "id": number,
        "seek": 0,
        "start": round(start, 3),
        "end": round(end, 3),
        "text": part,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": 0.0,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }


def _moderation(asked: Asked, body: Json) -> Said:
    given = body.get("input")
    items = [given] if isinstance(given, str) else list(given) if is_array(given) else []
    if not items:
        refuse("Missing required parameter: 'input'.", "input", "missing_required_parameter")
    texts = [one if isinstance(one, str) else text(mapping(one).get("text")) for one in items]
    mixed = any(not isinstance(one, str) for one in items)
    said = _begin({"model": "sandbox/moderation", **body}, texts[-1])
    results = [_judge(" ".join(texts))] if mixed else [_judge(one) for one in texts]
    number = hashlib.sha256(asked.body).hexdigest()[:20]
    said.body = encode({"id": f"modr-{number}", "model": body.get("model"), "results": results})
    return said


def _judge(said: str) -> Json:
    words = set(re.findall(r"[a-z]+", said.lower()))
    hit = {category for word, category in WORDS.items() if word in words}
    return {
        "flagged": bool(hit),
        "categories": {name: name in hit for name in CATEGORIES},
        "category_scores": {name: 0.97 if name in hit else 0.0001 for name in CATEGORIES},
        "category_applied_input_types": {name: ["text"] for name in CATEGORIES},
    }
