"""The usage vector: every provider's figures go in, and its own totals come out again (W44 to W49)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ruxa.dialects.anthropic_messages import figures as anthropic
from ruxa.dialects.gemini_generate import figures as gemini
from ruxa.dialects.openai_chat import figures as openai
from ruxa.dialects.usage import Usage, estimate, split, whole

COUNT = st.integers(0, 10**9)
ANY = st.none() | st.integers(-(10**6), 10**9)


@given(COUNT, st.lists(COUNT, max_size=4))
def test_a_split_adds_up_and_never_exceeds(total: int, parts: list[int]) -> None:
    cut = split(total, *parts)
    assert sum(cut) == total
    assert all(piece >= 0 for piece in cut)
    assert all(piece <= part for piece, part in zip(cut[1:], parts, strict=True))


def test_the_whole_of_nothing_is_zero() -> None:
    assert [whole(None), whole(-5), whole(0), whole(7)] == [0, 0, 0, 7]


@given(ANY, ANY, ANY, ANY, ANY, ANY, ANY)
def test_openai_totals_come_back(
    prompt: int | None,
    out: int | None,
    cached: int | None,
    written: int | None,
    heard: int | None,
    thought: int | None,
    spoken: int | None,
) -> None:
    usage = openai.usage_of(
        openai.Figures(
            prompt_tokens=prompt,
            completion_tokens=out,
            prompt_tokens_details=openai.InputDetails(cached, written, heard),
            completion_tokens_details=openai.OutputDetails(thought, spoken),
        )
    )
    assert usage.input_total == whole(prompt)
    assert usage.output_total == whole(out)
    assert _least(usage) >= 0


@given(COUNT, COUNT, COUNT)
def test_openai_reasoning_left_out_of_the_completion_is_added(prompt: int, out: int, thought: int) -> None:
    usage = openai.usage_of(
        openai.Figures(
            prompt_tokens=prompt,
            completion_tokens=out,
            total_tokens=prompt + out + thought,
            completion_tokens_details=openai.OutputDetails(reasoning_tokens=thought),
        )
    )
    assert usage.total == prompt + out + thought
    assert usage.reasoning_tokens == thought


@given(ANY, ANY, ANY, ANY, ANY, ANY, ANY)
def test_anthropic_totals_come_back(
    plain: int | None,
    read: int | None,
    written: int | None,
    five: int | None,
    hour: int | None,
    out: int | None,
    thought: int | None,
) -> None:
    usage = anthropic.usage_of(
        anthropic.Figures(
            input_tokens=plain,
            cache_read_input_tokens=read,
            cache_creation_input_tokens=written,
            cache_creation=anthropic.CacheCreation(five, hour),
            output_tokens=out,
            output_tokens_details=anthropic.OutputDetails(thought),
        )
    )
    assert usage.input_tokens == whole(plain)
    assert usage.cache_read_tokens == whole(read)
    writes = usage.cache_write_5m_tokens + usage.cache_write_1h_tokens
    assert writes == max(whole(written), whole(five) + whole(hour))
    assert usage.output_total == whole(out)
    assert _least(usage) >= 0


@given(ANY, ANY, ANY, ANY, ANY, ANY, ANY, ANY)
def test_gemini_totals_come_back(
    prompt: int | None,
    cached: int | None,
    out: int | None,
    thought: int | None,
    tool: int | None,
    heard: int | None,
    heard_cached: int | None,
    spoken: int | None,
) -> None:
    usage = gemini.usage_of(
        gemini.Figures(
            prompt_token_count=prompt,
            cached_content_token_count=cached,
            candidates_token_count=out,
            thoughts_token_count=thought,
            tool_use_prompt_token_count=tool,
            prompt_tokens_details=[gemini.Modality("TEXT", 5), gemini.Modality("AUDIO", heard)],
            cache_tokens_details=[gemini.Modality("AUDIO", heard_cached)],
            candidates_tokens_details=[gemini.Modality("AUDIO", spoken)],
        )
    )
    assert usage.input_total == whole(prompt) + whole(tool)
    assert usage.output_total == whole(out) + whole(thought)
    assert usage.cache_read_tokens == min(whole(cached), whole(prompt))
    assert _least(usage) >= 0


@given(st.lists(st.tuples(ANY, ANY, ANY, ANY), min_size=1, max_size=5))
def test_anthropic_stream_figures_are_totals_never_summed(seen: list[tuple[int | None, ...]]) -> None:
    merged: anthropic.Figures | None = None
    for plain, read, written, out in seen:
        merged = anthropic.merged(
            merged,
            anthropic.Figures(
                input_tokens=plain,
                cache_read_input_tokens=read,
                cache_creation_input_tokens=written,
                output_tokens=out,
            ),
        )
    assert merged is not None
    usage = anthropic.usage_of(merged)
    assert usage.input_tokens == max(whole(one[0]) for one in seen)
    assert usage.cache_read_tokens == max(whole(one[1]) for one in seen)
    assert usage.output_total == max(whole(one[3]) for one in seen)


def test_w44_to_w46_and_w49_by_the_letter() -> None:
    written = anthropic.usage_of(
        anthropic.Figures(
            input_tokens=3, cache_creation_input_tokens=12304, cache_read_input_tokens=0, output_tokens=550
        )
    )
    assert (written.input_total, written.cache_write_5m_tokens, written.cache_write_1h_tokens) == (12307, 12304, 0)
    cached = openai.usage_of(
        openai.Figures(
            prompt_tokens=16202, completion_tokens=1, prompt_tokens_details=openai.InputDetails(cached_tokens=15802)
        )
    )
    assert (cached.input_tokens, cached.cache_read_tokens) == (400, 15802)
    google = gemini.usage_of(
        gemini.Figures(
            prompt_token_count=100, candidates_token_count=10, thoughts_token_count=30, total_token_count=140
        )
    )
    assert (google.output_tokens, google.reasoning_tokens, google.total) == (10, 30, 140)
    compacted = anthropic.usage_of(
        anthropic.Figures(
            input_tokens=5,
            output_tokens=6,
            iterations=[
                anthropic.Iteration(type="message", input_tokens=5, output_tokens=6),
                anthropic.Iteration(type="compaction", input_tokens=100, output_tokens=20),
            ],
        )
    )
    assert (compacted.input_tokens, compacted.output_tokens) == (105, 26)


@given(st.integers(1, 10_000), st.integers(1, 500))
def test_an_estimate_counts_at_least_one_token_an_event(events: int, frame: int) -> None:
    assert estimate(events, events * frame, frame) == events
    assert estimate(events, events * frame + 400, frame) == events + 100
    assert estimate(0, 0, 1 << 30) == 0


def _least(usage: Usage) -> int:
    return min(getattr(usage, name) for name in Usage.__struct_fields__)
