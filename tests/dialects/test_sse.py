"""Event-stream framing: cut anywhere, the same events come out, and only whole ones."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from json_texts import examples
from ruxa.dialects.sse import Cutter, data_of, events, name_of

LINE = st.sampled_from(
    [
        "data: {}",
        'data: {"a":"b"}',
        "data:{}",
        ": comment",
        "event: ping",
        "id: 7",
        "data: é漢🙂",
        "data:",
        "retry: 3",
    ]
)
EVENT = st.lists(LINE, min_size=1, max_size=3)


@given(st.lists(EVENT, max_size=6), st.sampled_from(["\n", "\r\n"]), st.data())
@settings(max_examples=examples(80), deadline=None)
def test_any_cut_gives_the_same_events(blocks: list[list[str]], end: str, data: st.DataObject) -> None:
    whole = "".join(end.join(lines) + end + end for lines in blocks).encode()
    cutter = Cutter()
    out: list[bytes] = []
    at = 0
    while at < len(whole):
        size = data.draw(st.integers(1, 40))
        piece = cutter.cut(whole[at : at + size])
        assert not piece or piece.endswith((b"\n\n", b"\n\r\n"))
        out.append(piece)
        at += size
    assert b"".join(out) == whole
    assert not cutter.waiting
    cut = [event for piece in out for event in events(piece)]
    assert len(cut) == len(blocks)
    for event, lines in zip(cut, blocks, strict=True):
        texts = [line[5:].removeprefix(" ") for line in lines if line.startswith("data:")]
        assert data_of(event) == "\n".join(texts).encode()
        named = [line[7:] for line in lines if line.startswith("event: ")]
        assert name_of(event) == (named[0].encode() if named else b"")


def test_single_bytes_and_a_rest() -> None:
    cutter = Cutter()
    text = b'data: {"x":1}\r\n\r\ndata: {"y":2}\n\ndata: {'
    out = [piece for at in range(len(text)) if (piece := cutter.cut(text[at : at + 1]))]
    assert out == [b'data: {"x":1}\r\n\r\n', b'data: {"y":2}\n\n']
    assert cutter.waiting
    assert cutter.rest() == b"data: {"
    assert not cutter.waiting


def test_whole_events_pass_as_the_same_object() -> None:
    text = b"data: 1\n\ndata: 2\n\n"
    assert Cutter().cut(text) is text


def test_a_long_held_event_costs_no_second_search() -> None:
    cutter = Cutter()
    for _ in range(20_000):
        assert cutter.cut(b"data: ") == b""
    assert len(cutter.cut(b"\n\n")) == 120_002
