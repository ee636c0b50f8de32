"""The public wire cases (`ruxa conformance`) on Ruxa and on its peers, and the table of what holds where.

Peers are no part of the product: they are looked for, or installed into a folder that is named, and run as their own
documentation says, one process each, with the config that `ruxa conformance --print-config` prints.

    .venv/bin/python bench/conformance.py                       those that are found; the table on standard output
    .venv/bin/python bench/conformance.py --install /tmp/peers  install LiteLLM (pip) and Portkey (npm) there first
    .venv/bin/python bench/conformance.py --write               the table into bench/conformance.md
    .venv/bin/python bench/conformance.py --only ruxa,litellm

LITELLM names the program, PORTKEY_JS the file start-server.js, where they are elsewhere.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("conformance.md")
UPSTREAM_PORT = 8430
PORTS = {"litellm": 9812, "portkey": 9813}
LITELLM_VERSION = "1.106.2"
PORTKEY_VERSION = "1.15.2"
START_TIMEOUT_S = 120
SHOWN_MAX = 200
Result = dict[str, Any]


def kit(*arguments: str) -> str:
    """`ruxa conformance`; its standard output, whatever the score."""
    command = [sys.executable, "-m", "ruxa", "conformance", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(f"bench: {done.stderr or done.stdout}")
    return done.stdout


def install(place: Path) -> None:
    """The two peers, each in a folder of its own, from the machine's package registries."""
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "litellm" / "bin" / "litellm").exists():
        subprocess.run([sys.executable, "-m", "venv", place / "litellm"], check=True)
        pip = place / "litellm" / "bin" / "pip"
        subprocess.run([pip, "install", "-q", f"litellm[proxy]=={LITELLM_VERSION}"], check=True)
    if not portkey_script(place).exists():
        (place / "portkey").mkdir(exist_ok=True)
        package = f"@portkey-ai/gateway@{PORTKEY_VERSION}"
        subprocess.run(["npm", "i", "--no-audit", "--no-fund", package], cwd=place / "portkey", check=True)
        mend_portkey(portkey_script(place))


def mend_portkey(script: Path) -> None:
    """1.15.2 hands on a fetch Response's immutable headers, so that Node 20 and later answer 500 to every stream."""
    wrong, right = (
        ":new Response(p,e)}const Ad",
        ":new Response(p,{status:e.status,headers:new Headers(e.headers)})}const Ad",
    )
    text = script.read_text(encoding="utf-8")
    if wrong in text:
        script.write_text(text.replace(wrong, right), encoding="utf-8")


def portkey_script(place: Path) -> Path:
    """What node runs."""
    return place / "portkey" / "node_modules" / "@portkey-ai" / "gateway" / "build" / "start-server.js"


@contextlib.contextmanager
def running(command: list[str], port: int, folder: Path, **env: str) -> Iterator[None]:
    """A peer, once it answers."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env={**os.environ, **env}, start_new_session=True
        )
    try:
        until = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < until and process.poll() is None:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
                break
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.3)
        else:
            raise SystemExit(f"bench: {command[0]} did not start:\n{(folder / 'log').read_text()[-2000:]}")
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def ruxa() -> tuple[str, Result]:
    """The gateway that the kit starts itself."""
    shown = subprocess.run([sys.executable, "-m", "ruxa", "--version"], capture_output=True, text=True, check=True)
    return shown.stdout.strip().replace("ruxa", "Ruxa"), json.loads(kit("--json"))


def litellm(program: str, folder: Path) -> tuple[str, Result]:
    """LiteLLM's proxy, no database."""
    config, port = folder / "litellm.yaml", PORTS["litellm"]
    config.write_text(kit("--print-config", "litellm", "--upstream-port", str(UPSTREAM_PORT)))
    key = re.search(r"master_key: (\S+)", config.read_text())
    assert key is not None
    command = [program, "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    shown = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"\d+\.\d+\.\d+", shown)
    with running(command, port, folder, LITELLM_LOG="ERROR", LITELLM_LOCAL_MODEL_COST_MAP="True"):
        told = kit("--json", "--target", f"http://127.0.0.1:{port}", "--key", key[1])
    return f"LiteLLM proxy {found[0] if found else '?'}", json.loads(told)


def portkey(script: Path, folder: Path) -> tuple[str, Result]:
    """Portkey's open-source gateway; each call's headers say where it goes."""
    routes, port = folder / "portkey.toml", PORTS["portkey"]
    routes.write_text(kit("--print-config", "portkey", "--upstream-port", str(UPSTREAM_PORT)))
    command = ["node", str(script), f"--port={port}", "--headless"]
    package = json.loads((script.parents[1] / "package.json").read_text())
    with running(command, port, folder, NODE_ENV="production"):
        target = f"http://127.0.0.1:{port}"
        told = kit("--json", "--target", target, "--key", "sk-upstream", "--routes", str(routes))
    return f"Portkey gateway {package['version']}", json.loads(told)


def mark(case: Result) -> str:
    """``yes``, or how many of its runs hold; a dash where the gateway offers none of the directions."""
    parts = case["parts"]
    if case["ok"]:
        return "yes"
    if not any(offered(part) for part in parts):
        return "-"
    good = sum(part["ok"] for part in parts)
    return f"**no**, {good}/{len(parts)}" if good else "**no**"


def offered(part: Result) -> bool:
    """Whether the gateway takes such a call at all: it neither lacks the endpoint, nor says that it can't, nor passes
    the call to the provider in the caller's own dialect."""
    unable = ("is not supported by", "header is required", "The conformance upstream expects")
    missing = re.match(r"(step \d, )?status 40[45],", part["got"]) is not None
    return not missing and not any(text in part["got"] for text in unable)


def table(results: list[tuple[str, Result]]) -> str:
    """Score, groups and cases, a column for each gateway."""
    names = [name for name, _ in results]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    scores = [f"**{told['passed']} of {told['passed'] + told['failed']}**" for _, told in results]
    runs = [f"{told['runs_passed']} of {told['runs_passed'] + told['runs_failed']}" for _, told in results]
    facts = [_facts(told) for _, told in results]
    lines.append("| cases that hold | " + " | ".join(scores) + " |")
    lines.append("| of them without our own wishes | " + " | ".join(facts) + " |")
    lines.append("| runs (each direction, whole and streamed) | " + " | ".join(runs) + " |")
    lines.append("| runs of those whose direction it offers | " + " | ".join(map(_offered, results)) + " |")
    for group in results[0][1]["groups"]:
        cells = [f"{told['groups'][group][0]} of {told['groups'][group][1]}" for _, told in results]
        lines.append(f"| {group} | " + " | ".join(cells) + " |")
    lines += ["", "| case | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for at, case in enumerate(results[0][1]["cases"]):
        title = f"{case['id']} {case['title']}{' *(a wish)*' if case['wish'] else ''}"
        lines.append(f"| {title} | " + " | ".join(mark(told["cases"][at]) for _, told in results) + " |")
    for name, told in results:
        rows = [row for case in told["cases"] for row in _instead(case)]
        if rows:
            lines += ["", f"What came instead, {name} (the first run of each case that does not hold):", ""]
            lines += ["| run | what was found |", "|---|---|", *rows]
    return "\n".join(lines)


def _instead(case: Result) -> Iterator[str]:
    part = next((part for part in case["parts"] if not part["ok"] and offered(part)), None)
    if part is not None:
        shown = re.sub(r"\s+", " ", part["got"][:SHOWN_MAX]).replace("`", "'").replace("|", "\\|")
        yield f"| {part['id']} | `{shown}` |"


def _offered(result: tuple[str, Result]) -> str:
    parts = [part for case in result[1]["cases"] for part in case["parts"] if part["ok"] or offered(part)]
    return f"{sum(part['ok'] for part in parts)} of {len(parts)}"


def _facts(told: Result) -> str:
    facts = [case["ok"] for case in told["cases"] if not case["wish"]]
    return f"{sum(facts)} of {len(facts)}"


def main() -> int:
    """Run, print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--install", metavar="DIR", type=Path, help="install the peers there first, if they are not")
    parser.add_argument("--only", default="ruxa,litellm,portkey", help="which, with commas")
    parser.add_argument("--write", action="store_true", help="put the table into bench/conformance.md")
    parser.add_argument("--out", metavar="FILE", type=Path, help="write all results as JSON")
    chosen = parser.parse_args()
    wanted = chosen.only.split(",")
    if chosen.install is not None:
        install(chosen.install)
    place = chosen.install or Path("/nonexistent")
    program = os.environ.get("LITELLM") or shutil.which("litellm") or str(place / "litellm" / "bin" / "litellm")
    script = Path(os.environ.get("PORTKEY_JS") or portkey_script(place))
    results: list[tuple[str, Result]] = []
    for name in wanted:
        with tempfile.TemporaryDirectory(prefix="ruxa-bench-") as made:
            folder = Path(made)
            if name == "ruxa":
                results.append(ruxa())
            elif name == "litellm" and Path(program).exists():
                results.append(litellm(program, folder))
            elif name == "portkey" and script.exists():
                results.append(portkey(script, folder))
            else:
                sys.stderr.write(f"bench: {name} is not there; see --install\n")
    if chosen.out is not None:
        chosen.out.write_text(json.dumps(dict(results), indent=1))
    made_table = table(results)
    sys.stdout.write(made_table + "\n")
    if chosen.write:
        head, rest = PAGE.read_text(encoding="utf-8").split("<!-- table -->", 1)
        _, tail = rest.split("<!-- /table -->", 1)
        day = datetime.datetime.now(datetime.UTC).date().isoformat()
        PAGE.write_text(f"{head}<!-- table -->\nMeasured on {day}.\n\n{made_table}\n<!-- /table -->{tail}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
