"""Reads the envelope of a response's request: what Ruxa prices and limits, and no more."""

from __future__ import annotations

import msgspec

from ruxa.dialects.body import ABSENT, cut, given, take
from ruxa.dialects.dialect import Claim, Envelope, Load, Place
from ruxa.dialects.openai import (
    read_int,
    read_model,
    read_tokens,
    recipient,
    refuse_missing,
    refuse_type,
    refuse_value,
    style,
    take_media,
)
from ruxa.dialects.openai_responses.table import CLIENT_TOOLS, CREATE
from ruxa.dialects.table import scan
from ruxa.kernel.errors import InvalidCall

TOOL_CALLS_MAX = 100_000


class _Part(msgspec.Struct, gc=False):
    type: str = ""
    image_url: msgspec.Raw = ABSENT
    file_id: msgspec.Raw = ABSENT
    file_data: msgspec.Raw = ABSENT
    file_url: msgspec.Raw = ABSENT
    input_audio: msgspec.Raw = ABSENT


class _Item(msgspec.Struct, gc=False):
    type: str | None = None
    role: msgspec.Raw = ABSENT
    content: msgspec.Raw = ABSENT
    output: msgspec.Raw = ABSENT
    result: msgspec.Raw = ABSENT
    tools: msgspec.Raw = ABSENT


class _Environment(msgspec.Struct, gc=False):
    type: str = ""


class _Tool(msgspec.Struct, gc=False):
    type: str = ""
    tools: list[_Tool] | None = None
    environment: _Environment | None = None


class _Reasoning(msgspec.Struct, gc=False):
    effort: str | None = None


_decode_items = msgspec.json.Decoder(list[_Item]).decode
_decode_parts = msgspec.json.Decoder(list[_Part]).decode
_decode_part = msgspec.json.Decoder(_Part).decode
_decode_tools = msgspec.json.Decoder(list[_Tool]).decode
_decode_reasoning = msgspec.json.Decoder(_Reasoning).decode
_TRUE = msgspec.Raw(b"true")


def read_create(place: Place, body: bytes) -> Envelope:
    """The envelope of ``POST /v1/responses``."""
    members = cut(body)
    seen = scan(body, members, CREATE)
    if seen.wrong is not None:
        refuse_type(seen.wrong, members, CREATE)
    refuse_kept(members)
    get = members.get
    content = get("input")
    if content is None:
        refuse_missing("input")
    load = Load(text_bytes=seen.content_bytes)
    claims = seen.claims
    if bytes(memoryview(content)[:1]) == b"[":
        claims += weigh_items(content, load)
    uses = get("max_tool_calls")
    most = None if uses is None or not given(uses) else read_int("max_tool_calls", uses, TOOL_CALLS_MAX)
    if (tools := get("tools")) is not None and given(tools):
        claims += tool_claims("tools", tools, most)
    if (cap := get("max_output_tokens")) is not None:
        load.output_cap = read_tokens("max_output_tokens", cap)
    load.reasoning = True
    if (reasoning := get("reasoning")) is not None and given(reasoning):
        load.reasoning = take("reasoning", _decode_reasoning, reasoning, style).effort != "none"
    return Envelope(
        place=place,
        body=body,
        members=members,
        spans=seen.spans,
        model=read_model(members),
        stream=get("stream") == _TRUE,
        load=load,
        claims=claims,
        unknown=seen.unknown,
        identities=seen.identities,
    )


def refuse_kept(members: dict[str, msgspec.Raw]) -> None:
    """Refuses what would have to be kept or run at the provider after the call."""
    if members.get("background") == _TRUE:
        refuse_value("background", "'background' is not served: a response is answered while the caller waits.")
    if (conversation := members.get("conversation")) is not None and given(conversation):
        refuse_value("conversation", "'conversation' is not served: continue with 'previous_response_id' or 'input'.")


def weigh_items(items: msgspec.Raw, load: Load) -> tuple[Claim, ...]:
    """Counts media into ``load`` and takes their bytes out of its text; names what a provider would fetch or run."""
    claims: list[Claim] = []
    for index, item in enumerate(take("input", _decode_items, items, style)):
        path = f"input[{index}]"
        if item.type == "item_reference" or (not item.type and not given(item.role)):
            refuse_reference(path)
        for name, value in (("content", item.content), ("output", item.output)):
            first = bytes(memoryview(value)[:1])
            if first == b"[":
                for at, part in enumerate(take(f"{path}.{name}", _decode_parts, value, style)):
                    _weigh_part(part, f"{path}.{name}[{at}]", load, claims)
            elif first == b"{":
                _weigh_part(take(f"{path}.{name}", _decode_part, value, style), f"{path}.{name}", load, claims)
        if item.type == "image_generation_call" and given(item.result):
            load.images += 1
            take_media(load, item.result)
        if given(item.tools):
            claims += tool_claims(f"{path}.tools", item.tools, None)
    return tuple(claims)


def refuse_reference(path: str) -> None:
    """Refuses a reference to an item that would have to lie at the provider."""
    raise InvalidCall(
        f"'{path}' refers to an item kept at the provider, and nothing is kept there ('store' is always sent as"
        " false). Send the item itself, or continue with 'previous_response_id'.",
        code="item_reference_not_served",
        param=path,
    )


def _weigh_part(part: _Part, path: str, load: Load, claims: list[Claim]) -> None:
    if given(part.image_url):
        load.images += 1
        if bytes(memoryview(part.image_url)[:6]) == b'"data:':
            take_media(load, part.image_url)
        else:
            claims.append(recipient("url:image", f"{path}.image_url"))
    if given(part.file_data):
        load.documents += 1
        take_media(load, part.file_data)
    if given(part.file_url):
        load.documents += 1
        claims.append(recipient("url:document", f"{path}.file_url"))
    if given(part.file_id) and part.type.startswith(("input_", "computer_")):
        load.file_ids += 1
        claims.append(recipient("file_id", f"{path}.file_id"))
    if given(part.input_audio):
        load.audios += 1
        take_media(load, part.input_audio)


def tool_claims(path: str, tools: msgspec.Raw, most: int | None) -> tuple[Claim, ...]:
    """What a list of tools would have the provider run. ``most``: of all hosted tools together."""
    found: list[Claim] = []
    for index, tool in enumerate(take(path, _decode_tools, tools, style)):
        at = f"{path}[{index}]"
        if hosted(tool):
            found.append(Claim(kind="recipient", name=f"tool:{tool.type}", param=at, uses=most))
        found += [
            Claim(kind="recipient", name=f"tool:{inner.type}", param=f"{at}.tools[{number}]", uses=most)
            for number, inner in enumerate(tool.tools or ())
            if hosted(inner)
        ]
    return tuple(found)


def hosted(tool: _Tool) -> bool:
    """Whether the provider runs it."""
    if tool.type == "shell":
        return tool.environment is None or tool.environment.type != "local"
    return tool.type not in CLIENT_TOOLS
