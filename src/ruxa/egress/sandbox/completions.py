"""The sandbox in OpenAI's completions: each prompt is gone on from as often as was asked, whole or streamed."""

from __future__ import annotations

import hashlib

from ruxa.egress.sandbox import mind
from ruxa.egress.sandbox.faults import LATE_USAGE_MS, Fault, fault_of
from ruxa.egress.sandbox.fields import Json, encode, is_array, is_count, is_number, items, mapping, text
from ruxa.egress.sandbox.mind import Plan, Prompt
from ruxa.egress.sandbox.openai import ERRORS, error, fault_error, object_of, refuse, wrong
from ruxa.egress.sandbox.reply import Asked, Said, Step

KNOWN = frozenset(
    {
        "prompt",
        "model",
        "best_of",
        "echo",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_tokens",
        "n",
        "presence_penalty",
        "seed",
        "stop",
        "stream",
        "stream_options",
        "suffix",
        "temperature",
        "top_p",
        "user",
    }
)
TOKENS_DEFAULT = 16
"""OpenAI's own: who says nothing gets no more."""

_FINISHES = {"length": "length", "refusal": "content_filter"}


def complete(asked: Asked) -> Said:
    """``POST /v1/completions``. Raises Refusal."""
    body = object_of(asked)
    prompts = _check(body)
    first = prompts[0]
    marks = first.marks
    fault = fault_of(first.model, marks)
    if fault in ERRORS:
        raise fault_error(fault)
    plans = [(prompt, mind.make(prompt)) for prompt in prompts]
    choices = [(prompt, plan) for prompt, plan in plans for _ in range(body.get("n") or 1)]
    said = Said(
        fault=fault,
        pace_ms=mind.number(marks, "pace-ms", 0, 10_000) if "pace-ms" in marks else None,
        delay_ms=mind.number(marks, "delay-ms", 0, 600_000),
        error_frame=b"data: " + encode(error("The engine is currently overloaded.", "server_error")) + b"\n\n",
    )
    head: Json = {
        "id": f"cmpl-{hashlib.sha256(asked.body).hexdigest()[:20]}{asked.number}",
        "object": "text_completion",
        "created": asked.at_s,
        "model": first.model,
        "system_fingerprint": "fp_sandbox",
    }
    made = max(body.get("best_of") or 1, body.get("n") or 1)
    usage = _usage(plans, made)
    echo = body.get("echo") is True
    ranked = body.get("logprobs") is not None
    if body.get("stream"):
        told = bool(mapping(body.get("stream_options")).get("include_usage"))
        said.content_type = "text/event-stream; charset=utf-8"
        said.steps = _chunks(head, choices, usage if told else None, fault, echo=echo)
    else:
        told_ = [_choice(index, prompt, plan, echo, ranked) for index, (prompt, plan) in enumerate(choices)]
        said.body = encode({**head, "choices": told_, "usage": usage})
    return said


def _check(body: Json) -> list[Prompt]:
    for name in body:
        if name not in KNOWN:
            refuse(f"Unrecognized request argument supplied: {name}", None)
    if not isinstance(body.get("model"), str):
        refuse("you must provide a model parameter", None)
    for name in ("temperature", "top_p", "frequency_penalty", "presence_penalty"):
        if body.get(name) is not None and not is_number(body[name]):
            wrong(name, "a decimal", body[name])
    for name, least in (("max_tokens", 0), ("n", 1), ("best_of", 1), ("logprobs", 0)):
        if body.get(name) is not None and (not is_count(body[name]) or body[name] < least):
            wrong(name, "an integer", body[name])
    if body.get("best_of") and body.get("stream"):
        refuse("Results of best_of can't be streamed.", "best_of")
    if body.get("stream_options") is not None and not body.get("stream"):
        refuse("The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options")
    return [_prompt(body, each) for each in _texts(body.get("prompt"))]


def _texts(given: object) -> list[str]:
    if given is None or isinstance(given, str):
        return [given or ""]
    if not is_array(given) or not given:
        wrong("prompt", "a string or a non-empty array", given)
    if is_count(given[0]):
        return [" ".join(str(token) for token in given)]
    return [one if isinstance(one, str) else " ".join(str(token) for token in items(one)) for one in given]


def _prompt(body: Json, given: str) -> Prompt:
    prompt = Prompt(model=body["model"], user=given, history=[given])
    cap = body.get("max_tokens")
    prompt.cap = TOKENS_DEFAULT if cap is None else cap
    stops = body.get("stop")
    prompt.stops = [stops] if isinstance(stops, str) else [text(stop) for stop in items(stops)]
    return prompt


def _usage(plans: list[tuple[Prompt, Plan]], made: int) -> Json:
    inside = sum(prompt.input_tokens for prompt, _ in plans)
    out = sum(plan.output_tokens for _, plan in plans) * made
    return {"prompt_tokens": inside, "completion_tokens": out, "total_tokens": inside + out}


def _choice(index: int, prompt: Prompt, plan: Plan, echo: bool, ranked: bool) -> Json:
    before = prompt.user if echo else ""
    return {
        "index": index,
        "text": before + plan.text,
        "logprobs": _ranks(plan, len(before)) if ranked else None,
        "finish_reason": _FINISHES.get(plan.ending, "stop"),
    }


def _ranks(plan: Plan, offset: int) -> Json:
    offsets: list[int] = []
    for piece in plan.pieces:
        offsets.append(offset)
        offset += len(piece)
    likely = [-0.25] * len(plan.pieces)
    tops = [{piece: -0.25} for piece in plan.pieces]
    return {"tokens": plan.pieces, "token_logprobs": likely, "top_logprobs": tops, "text_offset": offsets}


def _chunks(
    head: Json, choices: list[tuple[Prompt, Plan]], usage: Json | None, fault: Fault | None, *, echo: bool
) -> list[Step]:
    rest: Json = {} if usage is None else {"usage": None}

    def chunk(index: int, said: str, finish: str | None = None, *, token: bool = False) -> Step:
        choice = {"index": index, "text": said, "logprobs": None, "finish_reason": finish}
        return Step(b"data: " + encode({**head, "choices": [choice], **rest}) + b"\n\n", token=token)

    steps: list[Step] = []
    for index, (prompt, plan) in enumerate(choices):
        if echo:
            steps.append(chunk(index, prompt.user))
        steps.extend(chunk(index, piece, token=True) for piece in plan.pieces)
        steps.append(chunk(index, "", _FINISHES.get(plan.ending, "stop")))
    if usage is not None and fault != "no-usage":
        last = encode({**head, "choices": [], "usage": usage})
        steps.append(Step(b"data: " + last + b"\n\n", after_ms=LATE_USAGE_MS if fault == "late-usage" else 0))
    steps.append(Step(b"data: [DONE]\n\n"))
    return steps
