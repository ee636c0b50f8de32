"""The frame of the sandbox's pages: plain HTML without a script, light and dark, that says it is the sandbox."""

from __future__ import annotations

from html import escape
from typing import Final
from urllib.parse import quote, urlsplit

from ruxa.egress.processors.sandbox.wire import Answer

STYLE_PATH: Final = "/_page.css"
STYLE: Final = b"""
:root{color-scheme:light dark;--ground:#f5f6f4;--paper:#fff;--ink:#1b1f1d;--soft:#55605a;--line:#8a938d;--act:#0b5d3b;
--on-act:#fff;--warn-ground:#fff4d6;--warn-ink:#4d3800;--bad:#a11212;--ring:#0b5d3b}
@media (prefers-color-scheme:dark){:root{--ground:#141715;--paper:#1e2320;--ink:#edf1ee;--soft:#a9b4ad;--line:#76817a;
--act:#7fd6ac;--on-act:#08291a;--warn-ground:#3a2e09;--warn-ink:#ffe7a6;--bad:#ff9c92;--ring:#7fd6ac}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
main{max-width:34rem;margin:0 auto;padding:1.5rem 1rem 4rem}
.sandbox{background:var(--warn-ground);color:var(--warn-ink);padding:.75rem 1rem;margin:0;text-align:center}
.paper{background:var(--paper);border:1px solid var(--line);border-radius:.5rem;padding:1.25rem;margin:1rem 0}
h1{font-size:1.375rem;line-height:1.3;margin:.5rem 0}h2{font-size:1.0625rem;margin:0 0 .75rem}
.sum{font-size:2rem;font-weight:600;margin:0}.soft{color:var(--soft);margin:.25rem 0}
dl{display:grid;grid-template-columns:1fr auto;gap:.25rem 1rem;margin:.75rem 0 0}dd{margin:0;text-align:end}
label,legend{display:block;font-weight:600;margin:.75rem 0 .25rem;padding:0}
fieldset{border:0;margin:0;padding:0}fieldset label,label.check{display:flex;
gap:.5rem;align-items:baseline;min-height:1.75rem;font-weight:400;margin:.25rem 0}
input[type=text],select{width:100%;min-height:2.75rem;padding:.5rem .75rem;font:inherit;color:inherit;
background:var(--paper);border:1px solid var(--line);border-radius:.375rem}
.row{display:grid;grid-template-columns:1fr 1fr;gap:.75rem;align-items:end}
button,a.button{display:block;width:100%;min-height:2.75rem;margin:1rem 0 0;padding:.5rem 1rem;font:inherit;
font-weight:600;text-align:center;text-decoration:none;color:var(--on-act);background:var(--act);
border:1px solid var(--act);border-radius:.375rem;cursor:pointer}
button.second,a.second{color:var(--ink);background:transparent;border-color:var(--line)}
a{color:var(--act)}:focus-visible{outline:3px solid var(--ring);outline-offset:2px}
.bad{color:var(--bad);border:1px solid var(--bad);border-radius:.375rem;padding:.75rem;margin:1rem 0}
table{width:100%;border-collapse:collapse;font-size:.9375rem}th,td{text-align:start;padding:.375rem .5rem .375rem 0;
border-top:1px solid var(--line);vertical-align:top}td:first-child{white-space:nowrap;font-variant-numeric:tabular-nums}
summary{cursor:pointer;font-weight:600}.inline{display:flex;gap:1rem;justify-content:space-between;align-items:center}
.inline button{width:auto;margin:0}
"""


def page(title: str, body: str, *, status: int = 200, leads_to: tuple[str | None, ...] = ()) -> Answer:
    """A whole page; ``body`` is HTML already; ``leads_to``: where its forms may end, beside this server."""
    text = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex"><title>{escape(title)} - sandbox processor</title>
<link rel="stylesheet" href="{STYLE_PATH}"><link rel="icon" href="data:,"></head><body>
<header><p class="sandbox" role="note"><strong>This is the sandbox.</strong> No money moves and no real card is taken.
Type test numbers only.</p></header>
<main>{body}</main></body></html>
"""
    ends = " ".join(sorted({_origin(url) for url in leads_to if url}))
    headers = {
        "content-security-policy": "default-src 'none'; style-src 'self'; img-src data:; base-uri 'none'; "
        f"frame-ancestors 'none'; form-action 'self' {ends}".rstrip(),
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
    }
    return Answer(status=status, content_type="text/html; charset=utf-8", headers=headers, body=text.encode())


def style() -> Answer:
    """The style sheet."""
    headers = {"cache-control": "max-age=3600", "x-content-type-options": "nosniff"}
    return Answer(content_type="text/css; charset=utf-8", headers=headers, body=STYLE)


def leave(url: str) -> Answer:
    """Sends the browser to ``url``, by GET."""
    there = quote(url, safe="%/:?#[]@!$&'()*+,;=~")
    return Answer(
        status=303, headers={"location": there, "cache-control": "no-store", "referrer-policy": "no-referrer"}
    )


def dollars(cents: int) -> str:
    """An amount as people read it."""
    return f"${cents // 100:,}.{cents % 100:02d}"


def problem(message: str) -> str:
    """What went wrong, said first."""
    return f'<p class="bad" role="alert" id="problem">{escape(message)}</p>' if message else ""


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
