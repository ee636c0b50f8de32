"""Completions, OpenAI's older endpoint: a text to go on from. Reads its envelope, and as a call for models of chat."""

from __future__ import annotations

from typing import NoReturn

import msgspec

from ruxa.dialects.body import NULL_RAW, cut, kind_word, take
from ruxa.dialects.call import Call, Text, Turn
from ruxa.dialects.dialect import Envelope, Load, Place
from ruxa.dialects.losses import Loss
from ruxa.dialects.openai import TOKENS_MAX, read_int, read_model, refuse_missing, refuse_type, refuse_value, style
from ruxa.dialects.openai_chat.read import CHOICES_MAX, read_stream_options
from ruxa.dialects.openai_chat.table import COMPLETIONS
from ruxa.dialects.openai_fields import Fields
from ruxa.dialects.table import scan
from ruxa.kernel.errors import InvalidCall

LOGPROBS_MAX = 5
PROMPTS_MAX = 2048
ECHO = b"true"
"""``Call.echo`` of a call whose answer begins with its prompt."""

_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_int = msgspec.json.Decoder(int).decode
_TRUE = msgspec.Raw(b"true")


def read_completion(place: Place, body: bytes) -> Envelope:
    """The envelope of a completion. Each prompt has ``n`` answers, and as many more are made as ``best_of`` says."""
    members = cut(body)
    seen = scan(body, members, COMPLETIONS)
    if seen.wrong is not None:
        refuse_type(seen.wrong, members, COMPLETIONS)
    get = members.get
    prompt = get("prompt")
    if prompt is None:
        refuse_missing("prompt")
    load = Load(text_bytes=seen.content_bytes, reasoning=True)
    stream = get("stream") == _TRUE
    asked = False
    if stream and (options := get("stream_options")) is not None and options != NULL_RAW:
        asked = read_stream_options(options).include_usage is True
    if (cap := get("max_tokens")) is not None and cap != NULL_RAW:
        load.output_cap = max(_tokens(cap), 1)
    each = 1
    for name in ("n", "best_of"):
        if (raw := get(name)) is not None and raw != NULL_RAW:
            each = max(each, read_int(name, raw, CHOICES_MAX))
    load.choices = each * _prompts(prompt)
    return Envelope(
        place=place,
        body=body,
        members=members,
        spans=seen.spans,
        model=read_model(members),
        stream=stream,
        include_usage=asked,
        load=load,
        claims=seen.claims,
        unknown=seen.unknown,
        identities=seen.identities,
    )


def _tokens(raw: msgspec.Raw) -> int:
    """The cap; 0 asks for no more than the prompt's own figures."""
    value = take("max_tokens", _decode_int, raw, style)
    if not 0 <= value <= TOKENS_MAX:
        refuse_value("max_tokens", f"Invalid value for 'max_tokens': expected an integer from 0 to {TOKENS_MAX}.")
    return value


def _prompts(prompt: msgspec.Raw) -> int:
    """How many prompts there are: a list of numbers is one."""
    if kind_word(prompt) != "array":
        return 1
    items = take("prompt", _decode_items, prompt, style)
    if not items:
        refuse_value("prompt", "Invalid 'prompt': empty array. Expected an array with minimum length 1.")
    if kind_word(items[0]) == "number":
        return 1
    if len(items) > PROMPTS_MAX:
        refuse_value("prompt", f"Invalid 'prompt': at most {PROMPTS_MAX} prompts in one call.")
    return len(items)


def read_call(body: bytes) -> Call:
    """The call as a model of chat gets it: the prompt is what its user says. Raises InvalidCall for what no such model
    can be asked: text before a ``suffix``, several prompts, tokens instead of text."""
    members = cut(body)
    fields = Fields(members, "")
    losses: list[Loss] = []
    turn = Turn(role="user", parts=[Text(text=_prompt(fields))], at="prompt")
    call = Call(model=read_model(members), turns=[turn], completes=True)
    fields.skip("model")
    if fields.text("suffix"):
        _refuse("suffix", "fill in what stands before a 'suffix'")
    call.stream = fields.flag("stream") is True
    options = fields.inner("stream_options")
    call.usage = call.stream and options is not None and options.flag("include_usage") is True
    cap, choices = fields.raw("max_tokens"), fields.raw("n")
    if cap is not None:
        call.cap = _tokens(cap)
        if not call.cap:
            _refuse("max_tokens", "answer with no token at all ('max_tokens' is 0)")
    if choices is not None:
        call.choices = read_int("n", choices, CHOICES_MAX)
    best = fields.raw("best_of")
    if best is not None and read_int("best_of", best, CHOICES_MAX) > call.choices:
        losses.append(Loss("best_of", "best_of"))
    call.logprobs = fields.int("logprobs")
    if call.logprobs is not None and not 0 <= call.logprobs <= LOGPROBS_MAX:
        refuse_value("logprobs", f"Invalid value for 'logprobs': expected an integer from 0 to {LOGPROBS_MAX}.")
    if fields.flag("echo"):
        call.echo = ECHO
        if call.logprobs is not None:  # nobody tells those of a prompt of chat
            losses.append(Loss("echo.logprobs", "echo"))
    call.temperature = fields.number("temperature")
    call.top_p = fields.number("top_p")
    call.seed = fields.int("seed")
    call.presence_penalty = fields.number("presence_penalty")
    call.frequency_penalty = fields.number("frequency_penalty")
    bias = fields.object("logit_bias")
    call.logit_bias = b"" if bias == b"{}" else bias
    if fields.kind("stop") == "array":
        call.stop = tuple(fields.words("stop"))
    elif (stop := fields.text("stop")) is not None:
        call.stop = (stop,)
    call.identity = fields.text("user") or ""
    call.losses = (*losses, *fields.lost())
    return call


def _prompt(fields: Fields) -> str:
    if fields.kind("prompt") != "array":
        text = fields.text("prompt")
        if text is None:
            refuse_missing("prompt")
        return text
    items = fields.items("prompt")
    if not items:
        refuse_value("prompt", "Invalid 'prompt': empty array. Expected an array with minimum length 1.")
    if kind_word(items[0]) in ("number", "array"):
        _refuse("prompt", "read a prompt that is given in tokens: send its text")
    if len(items) > 1:
        _refuse("prompt[1]", "answer several prompts in one call: send one call for each")
    return take("prompt[0]", _decode_text, items[0], style)


def _refuse(param: str, what: str) -> NoReturn:
    raise InvalidCall(
        f"This model is one of chat, asked here by completions: it can't {what}.",
        code="unsupported_parameter",
        param=param,
    )
