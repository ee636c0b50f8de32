"""Reads a request for a response as the sandbox understands it, and refuses what the vendor refuses."""

from __future__ import annotations

import base64

import msgspec

from ruxa.egress.sandbox import mind
from ruxa.egress.sandbox.fields import Json, is_array, is_count, is_number, is_object, items, mapping, text, unbase64
from ruxa.egress.sandbox.mind import Media, Offer, Prompt, Result
from ruxa.egress.sandbox.openai import EFFORTS, data_url, error, refuse, wrong
from ruxa.egress.sandbox.reply import Refusal

KNOWN = frozenset(
    {
        "background",
        "context_management",
        "conversation",
        "image",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "model",
        "moderation",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream",
        "stream_options",
        "temperature",
        "text",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "truncation",
        "user",
    }
)
HOSTED = frozenset(
    {
        "apply_patch",
        "code_interpreter",
        "computer",
        "computer_use_preview",
        "file_search",
        "image_generation",
        "local_shell",
        "mcp",
        "shell",
        "tool_search",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
    }
)
CAP_MIN = 16
_SEAL = "gAAAAsandbox."


class Named(msgspec.Struct):
    """A tool as the caller named it. kind: function or custom."""

    name: str
    kind: str
    space: str = ""


def check(body: Json) -> None:
    """Refuses what is malformed. Raises Refusal."""
    for name in body:
        if name not in KNOWN:
            refuse(f"Unknown parameter: '{name}'.", name, "unknown_parameter")
    for name in ("model", "input"):
        if name not in body:
            refuse(f"Missing required parameter: '{name}'.", name, "missing_required_parameter")
    if not isinstance(body["model"], str):
        wrong("model", "a string", body["model"])
    if not isinstance(body["input"], str | list):
        wrong("input", "one of a string or array of input items", body["input"])
    for name in ("temperature", "top_p"):
        if body.get(name) is not None and not is_number(body[name]):
            wrong(name, "a decimal", body[name])
    cap = body.get("max_output_tokens")
    if cap is not None and not is_count(cap):
        wrong("max_output_tokens", "an integer", cap)
    if cap is not None and cap < CAP_MIN:
        refuse(
            f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {CAP_MIN}, but got {cap}.",
            "max_output_tokens",
            "integer_below_min_value",
        )
    for name in ("stream", "store", "background", "parallel_tool_calls"):
        if body.get(name) is not None and not isinstance(body[name], bool):
            wrong(name, "a boolean", body[name])
    if body.get("previous_response_id") is not None:
        refuse(
            f"Previous response with id '{body['previous_response_id']}' not found.",
            "previous_response_id",
            "previous_response_not_found",
        )
    effort = mapping(body.get("reasoning")).get("effort")
    if effort is not None and effort not in EFFORTS:
        refuse("Invalid value for 'reasoning.effort'.", "reasoning.effort", "invalid_value")


def prompt_of(body: Json, tools: dict[str, Named]) -> Prompt:
    """What is asked; ``tools`` is filled with the caller's names for them. Raises Refusal."""
    prompt = Prompt(model=body["model"], system=text(body.get("instructions")), cap=body.get("max_output_tokens"))
    reader = _Items(prompt)
    if isinstance(body["input"], str):
        prompt.user = body["input"]
        prompt.history.append(body["input"])
    else:
        for index, entry in enumerate(body["input"]):
            reader.read(entry, f"input[{index}]")
        reader.finish()
    for index, tool in enumerate(items(body.get("tools"))):
        _offer(mapping(tool), f"tools[{index}]", prompt, tools)
    choice = body.get("tool_choice")
    if isinstance(choice, str):
        prompt.choice = "any" if choice == "required" else choice
    elif named := mapping(choice):
        if named.get("type") == "allowed_tools":
            allowed = {text(mapping(one).get("name")) for one in items(named.get("tools"))}
            prompt.tools = [tool for tool in prompt.tools if tool.name in allowed]
            prompt.choice = "any" if named.get("mode") == "required" else "auto"
        else:
            prompt.choice = text(named.get("name")) or "any"
    prompt.parallel = body.get("parallel_tool_calls") is not False
    prompt.thinking = mapping(body.get("reasoning")).get("effort") not in (None, "none")
    form = mapping(mapping(body.get("text")).get("format"))
    if form.get("type") == "json_schema":
        prompt.schema = mapping(form.get("schema"))
    elif form.get("type") == "json_object":
        prompt.schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    prompt.cached_tokens = min(mind.number(prompt.marks, "cached", 0), prompt.input_tokens)
    prompt.written_tokens = min(mind.number(prompt.marks, "written", 0), prompt.input_tokens - prompt.cached_tokens)
    return prompt


def _offer(tool: Json, path: str, prompt: Prompt, tools: dict[str, Named], space: str = "") -> None:
    form = tool.get("type")
    if form == "namespace" and not space:
        if not text(tool.get("description")):
            refuse(f"Missing required parameter: '{path}.description'.", path, "missing_required_parameter")
        for index, inner in enumerate(items(tool.get("tools"))):
            _offer(mapping(inner), f"{path}.tools[{index}]", prompt, tools, text(tool.get("name")))
        return
    if form not in ("function", "custom"):
        if form not in HOSTED:
            refuse(f"Invalid value: '{form}'.", f"{path}.type", "invalid_value")
        return
    name = text(tool.get("name"))
    if not name:
        refuse(f"Missing required parameter: '{path}.name'.", f"{path}.name", "missing_required_parameter")
    tools[name] = Named(name=name, kind=form, space=space)
    prompt.tools.append(Offer(name=name, schema=mapping(tool.get("parameters"))))


class _Items:
    """Reads the items of an input into a prompt; refuses what the vendor refuses."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.names: dict[str, str] = {}
        self.waiting: list[str] = []

    def read(self, entry: object, path: str) -> None:
        """One item. Raises Refusal."""
        if not is_object(entry):
            wrong(path, "an object", entry)
        item = mapping(entry)
        form = item.get("type", "message" if "role" in item else "item_reference")
        match form:
            case "message":
                self._message(item, path)
            case "function_call" | "custom_tool_call":
                self._call(item, path, "arguments" if form == "function_call" else "input")
            case "function_call_output" | "custom_tool_call_output":
                self._result(item, path)
            case "reasoning":
                self._thinking(item, path)
            case "item_reference":
                message = (
                    f"Item with id '{item.get('id')}' not found. Items are not persisted when `store` is set to false."
                )
                raise Refusal(404, error(message, param="input"))
            case _:
                if not isinstance(form, str):
                    wrong(f"{path}.type", "a string", form)

    def finish(self) -> None:
        """The input is over. Raises Refusal when a call has no output."""
        if self.waiting:
            refuse(f"No tool output found for function call {self.waiting[0]}.", "input")

    def _message(self, item: Json, path: str) -> None:
        role = item.get("role")
        if role not in ("user", "assistant", "system", "developer"):
            refuse(
                f"Invalid value: '{role}'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
                f"{path}.role",
                "invalid_value",
            )
        said, media = _content(item.get("content"), f"{path}.content", answer=role == "assistant")
        prompt = self.prompt
        prompt.history.append(said)
        if role in ("system", "developer"):
            prompt.system += said
        elif role == "user":
            prompt.user, prompt.results = said, []
            prompt.media += media

    def _call(self, item: Json, path: str, field: str) -> None:
        for name in ("call_id", "name", field):
            if not isinstance(item.get(name), str):
                refuse(f"Missing required parameter: '{path}.{name}'.", f"{path}.{name}", "missing_required_parameter")
        self.names[item["call_id"]] = item["name"]
        self.waiting.append(item["call_id"])
        self.prompt.history.append(item[field])

    def _result(self, item: Json, path: str) -> None:
        call_id = text(item.get("call_id"))
        if call_id not in self.names:
            refuse(f"No tool call found for function call output with call_id {call_id}.", "input")
        self.waiting = [one for one in self.waiting if one != call_id]
        said, media = _content(item.get("output"), f"{path}.output")
        self.prompt.media += media
        self.prompt.history.append(said)
        self.prompt.results = [*self.prompt.results, Result(name=self.names[call_id], text=said)]

    def _thinking(self, item: Json, path: str) -> None:
        if not is_array(item.get("summary")):
            refuse(f"Missing required parameter: '{path}.summary'.", f"{path}.summary", "missing_required_parameter")
        given = item.get("encrypted_content")
        if given is not None and unsealed(text(given)) is None:
            refuse(
                "The encrypted content could not be verified.", f"{path}.encrypted_content", "invalid_encrypted_content"
            )


def sealed(thinking: str) -> str:
    """``encrypted_content`` that only this sandbox opens."""
    signed = f"{mind.sign(thinking)}.{thinking}"
    return _SEAL + base64.b64encode(signed.encode()).decode()


def unsealed(given: str) -> str | None:
    """The thinking, None when this sandbox did not seal it."""
    raw = unbase64(given.removeprefix(_SEAL)) if given.startswith(_SEAL) else None
    if raw is None:
        return None
    signed, _, thinking = raw.decode("utf-8", "replace").partition(".")
    return thinking if signed == mind.sign(thinking) else None


def _content(value: object, path: str, *, answer: bool = False) -> tuple[str, list[Media]]:
    if isinstance(value, str):
        return value, []
    if not is_array(value):
        wrong(path, "one of a string or array of objects", value)
    said: list[str] = []
    media: list[Media] = []
    for index, entry in enumerate(value):
        part, at = mapping(entry), f"{path}[{index}]"
        form = part.get("type")
        if form in (("output_text", "refusal") if answer else ("input_text",)):
            name = "refusal" if form == "refusal" else "text"
            if not isinstance(part.get(name), str):
                wrong(f"{at}.{name}", "a string", part.get(name))
            said.append(part[name])
        elif form == "input_image" and not answer:
            media.append(_image(part, at))
        elif form == "input_file" and not answer:
            media.append(_file(part, at))
        elif form == "input_audio" and not answer:
            media.append(_audio(mapping(part.get("input_audio")), at))
        else:
            fitting = "'output_text' and 'refusal'" if answer else "'input_text', 'input_image', 'output_text', …"
            refuse(f"Invalid value: '{form}'. Supported values are: {fitting}.", f"{at}.type", "invalid_value")
    return "\n".join(said), media


def _image(part: Json, at: str) -> Media:
    url = part.get("image_url")
    if url is None:
        return Media(kind="image", media_type="image", url=text(part.get("file_id")))
    if not isinstance(url, str):
        wrong(f"{at}.image_url", "a string", url)
    if not url.startswith("data:"):
        return Media(kind="image", media_type="image", url=url)
    media_type, data = data_url(url, f"{at}.image_url")
    return Media(kind="image", media_type=media_type, data=data)


def _file(part: Json, at: str) -> Media:
    given = part.get("file_data")
    if not isinstance(given, str):
        where = text(part.get("file_url")) or text(part.get("file_id"))
        return Media(kind="document", media_type="file", url=where)
    if not part.get("filename"):
        refuse(f"Missing required parameter: '{at}.filename'.", f"{at}.filename", "missing_required_parameter")
    media_type, data = data_url(given, f"{at}.file_data")
    return Media(kind="document", media_type=media_type, data=data)


def _audio(audio: Json, at: str) -> Media:
    data = unbase64(text(audio.get("data")))
    if data is None:
        refuse("Invalid base64 audio.", f"{at}.input_audio.data", "invalid_value")
    return Media(kind="audio", media_type=f"audio/{text(audio.get('format'))}", data=data)
