"""The tree of commands and their options; what each does is in the module of its group, imported when it runs."""

from __future__ import annotations

import argparse
import difflib
import os
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from ruxa import __version__
from ruxa.kernel.errors import InvalidCall, RuxaError

GOOD, BAD_NEWS, COULD_NOT_RUN = 0, 1, 2

Act = Callable[[Namespace], int]
Tree = Any  # argparse's sub-parser collection has no public name


def run(argv: Sequence[str] | None = None) -> int:
    """Parse and act; every error becomes one line and exit code 2."""
    given = sys.argv[1:] if argv is None else list(argv)
    root = build()
    if (problem := _no_command(root, given)) is not None:
        return _complain(problem)
    args = root.parse_args(given)
    try:
        return _act(args.command)(args)
    except RuxaError as error:
        return _complain(error.public)
    except BrokenPipeError:
        # The reader of our output left (`ruxa ... | head`): nothing more to say, and nothing to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return GOOD
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _complain(f"The operating system refused: {error.strerror or error}{where}.")
    except KeyboardInterrupt:
        return _complain("Interrupted.")


class CommandParser(ArgumentParser):
    """A parser that knows the commands below it; None below a command's last word."""

    commands: Tree = None


def build() -> CommandParser:
    """The whole tree."""
    root = CommandParser(
        prog="ruxa",
        description="A self-hostable AI API services platform that can prove its privacy policy.",
        epilog="Exit codes: 0 good, 1 bad news, 2 could not run. `ruxa COMMAND --help` explains each command.",
    )
    root.add_argument("--version", action="version", version=f"ruxa {__version__}")
    tree = root.commands = root.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _run(tree)
    _people(tree)
    _organisations(tree)
    _keys(tree)
    _usage(tree)
    _money(tree)
    _payments(tree)
    _bookkeeping(tree)
    _retention(tree)
    _audit(tree)
    _backups(tree)
    _upkeep(tree)
    return root


def micros(text: str) -> int:
    """A whole number of USD micros, 1 or more."""
    value = whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more (1000000 micros are 1 USD)")
    return value


def whole(text: str) -> int:
    """A whole number of 0 or more; ``_`` may group digits."""
    if not re.fullmatch(r"\d[\d_]*", text) or int(text) > 2**63 - 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def percent(text: str) -> int:
    """``20``, ``-12.5`` or ``0.05`` percent as basis points; not less than -100."""
    found = re.fullmatch(r"([+-]?)([0-9]{1,5})(?:\.([0-9]{1,2}))?%?", text)
    points = 0 if found is None else int(found[2]) * 100 + int((found[3] or "").ljust(2, "0"))
    if found is None or (found[1] == "-" and points > 10_000):
        raise argparse.ArgumentTypeError(f"{text!r} is no percentage with up to two decimals")
    return -points if found[1] == "-" else points


def _period(leaf: ArgumentParser) -> None:
    leaf.add_argument("--from", dest="since", required=True, metavar="DAY", help="the first day, UTC: 2027-01-01")
    leaf.add_argument("--to", dest="until", required=True, metavar="DAY", help="the last day: 2027-01-31")
    leaf.add_argument("--out", required=True, metavar="FILE", help="file to write")


def _person(leaf: argparse.ArgumentParser) -> None:
    """Where real money needs two people."""
    leaf.add_argument(
        "--as", dest="person", metavar="EMAIL", help="who of the staff you are, where two people are needed"
    )


def _payments(tree: Tree) -> None:
    group = _group(tree, "payment", "payments: what was paid, refunds, bank transfers, disputes")
    leaf = _leaf(group, "list", "list payments, newest first", "payment list")
    leaf.add_argument("--org", metavar="ORG", help="organisation id (default: everybody's)")
    leaf.add_argument("--limit", type=whole, default=50, help="at most so many (default 50)")
    leaf = _leaf(group, "show", "show a payment and what the processor confirmed of it", "payment show")
    leaf.add_argument("payment", metavar="PAYMENT", help="its id (order_...) or reference (RX-...)")
    leaf = _leaf(group, "refund", "ask for a refund of a payment", "payment refund")
    leaf.add_argument("payment", metavar="PAYMENT", help="its id (order_...) or reference (RX-...)")
    leaf.add_argument("micros", type=micros, metavar="MICROS", help="USD micros, tax included; whole cents")
    leaf.add_argument("--reason", required=True, metavar="TEXT", help="kept sealed with the refund")
    leaf.add_argument("--beyond-unspent", action="store_true", help="what was spent already becomes a debt")
    _person(leaf)
    leaf = _leaf(group, "refunded", "say that a refund was made by hand (bank transfers)", "payment refunded")
    leaf.add_argument("refund", metavar="REFUND", help="its id (rfnd_...)")
    leaf = _leaf(group, "confirm", "say that a bank transfer arrived; a second person says so too", "payment confirm")
    leaf.add_argument("payment", metavar="PAYMENT", help="its id (order_...) or the reference it named (RX-...)")
    leaf.add_argument("--micros", required=True, type=micros, metavar="N", help="all that arrived, USD micros")
    leaf.add_argument("--day", required=True, metavar="DAY", help="of the bank's entry: 2027-01-31")
    leaf.add_argument("--entry", required=True, metavar="TEXT", help="the entry's own reference on the statement")
    leaf.add_argument("--account", default="main", metavar="TEXT", help="the bank account it arrived on (default main)")
    _person(leaf)
    leaf = _leaf(group, "waiting", "list refunds and transfers that wait for a second person", "payment waiting")
    leaf = _leaf(group, "approve", "be the second person of a refund or transfer", "payment approve")
    leaf.add_argument("id", metavar="ID", help="rfnd_... or cfm_..., as `ruxa payment waiting` shows it")
    _person(leaf)
    leaf = _leaf(group, "dispute", "list disputes, or show and answer one", "payment dispute")
    leaf.add_argument("id", nargs="?", metavar="DISPUTE", help="its id (dsp_...)")
    leaf.add_argument("--answer", metavar="FILE", help="the evidence, a text; sent once by the worker")
    leaf = _leaf(group, "sync", "ask the processors about everything that waits, now", "payment sync")
    group = _group(group, "settings", "the settings of payments")
    leaf = _leaf(group, "check", "ask each processor whether it takes our key", "payment settings check")


def _bookkeeping(tree: Tree) -> None:
    group = _group(tree, "invoice", "invoices, receipts, credit notes and statements")
    leaf = _leaf(group, "list", "list documents, newest first", "invoice list")
    leaf.add_argument("--org", metavar="ORG", help="organisation id (default: everybody's)")
    leaf.add_argument("--kind", choices=["invoice", "receipt", "credit_note", "statement"])
    leaf.add_argument("--from", dest="since", metavar="DAY", help="issued from this day on")
    leaf.add_argument("--to", dest="until", metavar="DAY", help="issued before this day")
    leaf.add_argument("--limit", type=whole, default=100, help="at most so many (default 100)")
    leaf = _leaf(group, "show", "show a document", "invoice show")
    leaf.add_argument("number", metavar="NUMBER", help="as printed on it: RX-INV-2027-000007")
    leaf.add_argument(
        "--why",
        metavar="TEXT",
        help="read it though whom it is for was erased; who read it, and why, is in the audit log first",
    )
    leaf = _leaf(group, "pdf", "print a document as PDF", "invoice pdf")
    leaf.add_argument("number", metavar="NUMBER")
    leaf.add_argument("--out", required=True, metavar="FILE", help="file to write")
    leaf.add_argument("--language", choices=["en", "zh"], help="(default: the document's own)")
    leaf.add_argument("--html", action="store_true", help="as HTML")
    leaf = _leaf(group, "issue", "issue what payments, refunds and the last month still lack", "invoice issue")
    leaf.add_argument("--since", metavar="WHEN", help="of payments that changed since: 90d (default 3d)")
    leaf = _leaf(group, "profile", "show or write whom an organisation's invoices are for", "invoice profile")
    leaf.add_argument("--org", required=True, metavar="ORG", help="organisation id")
    leaf.add_argument("--name", metavar="TEXT", help="legal name: writes the whole profile anew")
    leaf.add_argument("--address", action="append", default=[], metavar="LINE", help="a line of it, may be repeated")
    leaf.add_argument("--country", default="", metavar="CODE", help="two letters, ISO 3166")
    leaf.add_argument("--tax-id", default="", metavar="ID")
    leaf.add_argument("--contact", default="", metavar="TEXT")
    leaf.add_argument("--language", choices=["en", "zh"], default="en", help="of its documents (default en)")
    group = _group(tree, "reconcile", "payment processors' books against ours")
    leaf = _leaf(group, "run", "compare a day of a processor's books", "reconcile run")
    leaf.add_argument("processor", metavar="PROCESSOR", help="as in [payments.PROCESSOR]")
    leaf.add_argument("--day", metavar="DAY", help="UTC: 2027-01-31 (default yesterday)")
    leaf.add_argument("--file", metavar="FILE", help="its books as JSON, instead of asking it")
    leaf.add_argument("--scope", choices=["live", "sandbox"], default="live", help="of a file's money (default live)")
    leaf = _leaf(group, "list", "list differences, the oldest first", "reconcile list")
    leaf.add_argument("--all", action="store_true", help="also those that are over")
    leaf.add_argument("--processor", metavar="PROCESSOR")
    leaf.add_argument("--limit", type=whole, default=100, help="at most so many (default 100)")
    leaf = _leaf(group, "show", "show a difference", "reconcile show")
    leaf.add_argument("id", metavar="ID", help="difference id")
    leaf = _leaf(group, "resolve", "end a difference by your word", "reconcile resolve")
    leaf.add_argument("id", metavar="ID", help="difference id")
    leaf.add_argument(
        "--outcome",
        required=True,
        choices=["corrected_here", "corrected_there", "timing", "written_off", "accepted"],
    )
    leaf.add_argument("--reference", metavar="WORD", help="a ticket or document")
    leaf.add_argument("--note", metavar="TEXT", help="kept sealed in the audit log, two years")
    leaf = _leaf(group, "report", "write the report of a period for a bookkeeper", "reconcile report")
    _period(leaf)
    leaf.add_argument("--format", choices=["html", "csv", "json"], default="html", help="(default html)")


def _common(*, json: bool = True) -> ArgumentParser:
    parent = ArgumentParser(add_help=False)
    group = parent.add_argument_group("where")
    group.add_argument("--data", metavar="DIR", help="data directory (RUXA_DATA; default ./.ruxa)")
    group.add_argument("--keys", metavar="DIR", help="keys directory (RUXA_KEYS; default <data>-keys)")
    group.add_argument("--config", metavar="FILE", help="settings file (RUXA_CONFIG; default ./ruxa.toml if it exists)")
    if json:
        parent.add_argument("--json", action="store_true", help="print JSON for scripts")
    return parent


def _leaf(tree: Tree, name: str, help_: str, command: str, *, json: bool = True) -> ArgumentParser:
    leaf: ArgumentParser = tree.add_parser(
        name, help=help_, description=help_[0].upper() + help_[1:] + ".", parents=[_common(json=json)]
    )
    leaf.set_defaults(command=command)
    return leaf


def _group(tree: Tree, name: str, help_: str) -> Tree:
    group: CommandParser = tree.add_parser(name, help=help_, description=help_[0].upper() + help_[1:] + ".")
    group.commands = group.add_subparsers(dest=f"{name}_command", metavar="COMMAND", required=True)
    return group.commands


def _run(tree: Tree) -> None:
    leaf = _leaf(tree, "run", "start the server", "run", json=False)
    leaf.add_argument("--host", help="address to listen on (RUXA_HOST; default 127.0.0.1)")
    leaf.add_argument("--port", type=whole, help="port to listen on, 0 for any free one (RUXA_PORT; default 8000)")
    leaf.add_argument("--role", choices=["all", "gateway", "console", "worker"], help="processes to run (default all)")
    leaf.add_argument("--workers", type=whole, metavar="N", help="gateway processes (RUXA_WORKERS; default 1)")
    leaf.add_argument("--no-demo", action="store_true", help="make an empty data directory live instead of a demo")
    leaf.add_argument(
        "--simulated",
        action="store_true",
        help="give a new data directory a clock that RUXA_CLOCK_OFFSET moves (for tests and rehearsals)",
    )


def _people(tree: Tree) -> None:
    operator = _group(tree, "operator", "people who run this installation")
    leaf = _leaf(operator, "add", "make a person staff and print a one-time link (30 minutes)", "operator add")
    leaf.add_argument("email", metavar="EMAIL")
    leaf.add_argument(
        "--role",
        default="operator",
        choices=["operator", "support", "finance", "security", "dpo", "auditor"],
        help="staff role (default operator)",
    )
    member = _group(tree, "member", "people of an organisation")
    leaf = _leaf(member, "add", "add a person to an organisation and print a one-time link (30 minutes)", "member add")
    leaf.add_argument("email", metavar="EMAIL")
    leaf.add_argument("--org", required=True, metavar="ORG", help="organisation id")
    leaf.add_argument(
        "--role",
        default="developer",
        choices=["owner", "developer", "billing", "viewer"],
        help="role in the organisation (default developer)",
    )

    subject = _group(tree, "subject", "a person's rights, done for who cannot sign in")
    leaf = _leaf(
        subject, "erase", "erase a person and what only they are in, and print the certificate", "subject erase"
    )
    leaf.add_argument("email", metavar="EMAIL")
    leaf.add_argument("--yes", action="store_true", help="do not ask (needed where there is no terminal)")
    leaf.add_argument("--forfeit", action="store_true", help="give up credit that is left")
    leaf = _leaf(subject, "export", "write a copy of what is kept about a person to a ZIP file", "subject export")
    leaf.add_argument("email", metavar="EMAIL")
    leaf.add_argument("--out", required=True, metavar="FILE", help="a new file; it holds personal data in clear")
    leaf = _leaf(subject, "restrict", "only store a person's data until it is lifted", "subject restrict")
    leaf.add_argument("email", metavar="EMAIL")
    leaf.add_argument("--lift", action="store_true", help="end the restriction")


def _organisations(tree: Tree) -> None:
    group = _group(tree, "org", "organisations: customers of this installation")
    leaf = _leaf(group, "create", "make an organisation with an owner", "org create")
    leaf.add_argument("--name", required=True)
    leaf.add_argument("--owner-email", required=True, metavar="EMAIL")
    leaf = _leaf(group, "list", "list organisations", "org list")
    leaf.add_argument("--limit", type=whole, default=100, help="at most so many (default 100)")
    leaf = _leaf(group, "show", "show one organisation and its balance", "org show")
    leaf.add_argument("org", metavar="ORG")
    leaf = _leaf(group, "credit", "give an organisation credit that pays for real providers", "org credit")
    leaf.add_argument("org", metavar="ORG")
    leaf.add_argument("--micros", required=True, type=micros, help="USD micros (1000000 are 1 USD)")
    leaf.add_argument("--reason", required=True, help="why; a word or a reference, kept in the ledger")
    leaf.add_argument("--sandbox", action="store_true", help="credit for sandbox/* models only")
    _person(leaf)
    leaf = _leaf(group, "limit", "limit all keys of an organisation together, of a member, or of a model", "org limit")
    leaf.add_argument("org", metavar="ORG")
    leaf.add_argument("--rpm", type=whole, metavar="N", help="requests a minute (left out: no limit)")
    leaf.add_argument("--tpm", type=whole, metavar="N", help="tokens a minute")
    leaf.add_argument("--concurrency", type=whole, metavar="N", help="calls at a time")
    which = leaf.add_mutually_exclusive_group()
    which.add_argument("--model", metavar="NAME", help="only calls of this model, by its public name")
    which.add_argument("--member", metavar="MEMBER", help="only keys that this member made")
    leaf = _leaf(group, "budget", "limit what an organisation may spend in a period", "org budget")
    leaf.add_argument("org", metavar="ORG")
    leaf.add_argument("--micros", type=micros, metavar="N", help="USD micros a period; left out: no budget")
    leaf.add_argument("--period", choices=["day", "month", "total"], default="month", help="of UTC (default month)")


def _keys(tree: Tree) -> None:
    group = _group(tree, "key", "API keys")
    leaf = _leaf(group, "create", "make a key; it is shown this once", "key create")
    leaf.add_argument("--org", required=True, metavar="ORG", help="organisation id")
    leaf.add_argument("--name", required=True)
    leaf.add_argument("--scopes", metavar="A,B", help="what it may do (default: every kind of call)")
    leaf.add_argument("--models", metavar="A,B", help="public model names or provider/* (default: all)")
    leaf.add_argument("--rpm", type=whole, metavar="N", help="requests per minute")
    leaf.add_argument("--tpm", type=whole, metavar="N", help="tokens per minute")
    leaf.add_argument("--concurrency", type=whole, metavar="N", help="calls at one time")
    leaf.add_argument(
        "--store-days",
        type=whole,
        default=0,
        metavar="N",
        help="keep what its calls send and get, sealed, for 0 (not at all) to 23 days",
    )
    leaf.add_argument("--budget-micros", type=micros, metavar="N", help="budget per period, USD micros")
    leaf.add_argument("--budget-period", choices=["day", "month", "total"])
    leaf.add_argument(
        "--policy",
        metavar="A,B",
        help="who may get its calls: zero-retention, no-training, region=EU|CH, mechanism=adequacy|scc",
    )
    leaf.add_argument(
        "--guard", choices=["mask", "refuse"], help="mask personal data and secrets in its calls, or refuse them"
    )
    leaf.add_argument(
        "--guard-kinds",
        metavar="A,B",
        help="what it looks for: email, phone, iban, card, ip, national_id, secret, media (default: all but media)",
    )
    _habits(leaf)
    leaf.add_argument("--expires", metavar="WHEN", help="30d (from now), or a date such as 2027-01-31 (UTC)")
    leaf.add_argument("--test", action="store_true", help="a key that reaches sandbox/* only (rx_test_)")
    leaf = _leaf(group, "list", "list an organisation's keys", "key list")
    leaf.add_argument("--org", required=True, metavar="ORG", help="organisation id")
    leaf = _leaf(group, "set", "what every call of a key wants from now on", "key set")
    leaf.add_argument("key", metavar="KEY", help="key id")
    _habits(leaf)
    leaf = _leaf(group, "revoke", "end a key now, everywhere within 2 seconds", "key revoke")
    leaf.add_argument("key", metavar="KEY", help="key id")
    leaf = _leaf(group, "rotate", "make a new secret for a key; it is shown this once", "key rotate")
    leaf.add_argument("key", metavar="KEY", help="key id")
    leaf.add_argument("--overlap", default="1d", metavar="TIME", help="how long the old secret lives on (default 1d)")


def _habits(leaf: ArgumentParser) -> None:
    leaf.add_argument(
        "--cache-s", type=whole, metavar="N", help="use an answer to the same call again for so many seconds, 0: never"
    )
    leaf.add_argument("--keep-responses", choices=["on", "off"], help="keep OpenAI's responses, and nothing else")
    leaf.add_argument(
        "--route",
        action="append",
        metavar="NAME=A,B",
        help="its calls of NAME go to A, then B; NAME= ends that; can be repeated",
    )


def _usage(tree: Tree) -> None:
    group = _group(tree, "usage", "calls and what they cost")
    leaf = _leaf(group, "show", "show one call", "usage show")
    leaf.add_argument("id", metavar="ID", help="the answer's x-request-id")
    leaf.add_argument("--content", action="store_true", help="also what was stored of its content, if anything")
    leaf = _leaf(group, "list", "list an organisation's calls, newest first", "usage list")
    leaf.add_argument("--org", required=True, metavar="ORG", help="organisation id")
    leaf.add_argument("--since", metavar="WHEN", help="1d (ago), or a date such as 2027-01-31 (UTC)")
    leaf.add_argument("--limit", type=whole, default=100, help="at most so many (default 100)")


def _money(tree: Tree) -> None:
    group = _group(tree, "ledger", "money: proofs and transfers")
    _leaf(group, "check", "prove the ledger: every proof must be zero", "ledger check")
    leaf = _leaf(group, "lines", "list an organisation's transfers, newest first", "ledger lines")
    leaf.add_argument("--org", required=True, metavar="ORG", help="organisation id")
    leaf.add_argument("--limit", type=whole, default=100, help="at most so many (default 100)")
    leaf = _leaf(group, "balance", "show the trial balance: what every account has", "ledger balance")
    leaf.add_argument("--all", action="store_true", help="each customer's lots and debt, too")
    leaf = _leaf(group, "export", "write the journal of a period for accounting (CSV, double entry)", "ledger export")
    _period(leaf)
    leaf.add_argument("--scope", choices=["live", "sandbox"], default="live", help="whose money (default live)")
    group = _group(tree, "price", "the price book: dated, never overwritten")
    leaf = _leaf(group, "set", "price a model from now on", "price set")
    leaf.add_argument("model", metavar="MODEL", help="public name, provider/model")
    for what in ("input", "output"):
        leaf.add_argument(
            f"--{what}", required=True, type=whole, metavar="N", help=f"{what}: USD micros per million tokens"
        )
    for what in ("cache-read", "cache-write-5m", "cache-write-1h", "reasoning", "audio-input", "audio-output", "image"):
        unit = "images" if what == "image" else "tokens"
        leaf.add_argument(f"--{what}", type=whole, metavar="N", help=f"{what}: USD micros per million {unit}")
    leaf.add_argument("--input-tokens-max", type=whole, metavar="N")
    leaf.add_argument("--output-tokens-max", type=whole, metavar="N")
    leaf.add_argument(
        "--units",
        choices=["tokens", "seconds", "characters"],
        default="tokens",
        help="what the input counts: tokens (default), seconds of audio (--audio-input), characters to be spoken",
    )
    leaf = _leaf(group, "list", "list prices in force", "price list")
    leaf.add_argument("model", nargs="?", metavar="MODEL", help="only names that begin so")
    leaf.add_argument("--book", default="list", metavar="PLAN", help="of a plan, or of own:PLAN (default: the list)")
    leaf = _leaf(group, "retire", "let a model have no price from a day on, in any book", "price retire")
    leaf.add_argument("model", metavar="MODEL", help="public name, provider/model")
    leaf.add_argument("--at", metavar="WHEN", help="30d (from now), or a date (default: now)")
    leaf = _leaf(
        group,
        "recompute",
        "work out a call's charge from its usage row, and say which price it names",
        "price recompute",
    )
    leaf.add_argument("id", metavar="ID", help="the answer's x-request-id")
    leaf = _leaf(group, "import", "read a price file (JSON, as `price list --json` prints it)", "price import")
    leaf.add_argument("file", metavar="FILE")
    _plans(tree)
    group = _group(tree, "route", "public names that stand for several models, or for one that will go")
    leaf = _leaf(group, "list", "list the routes in force, or all that a name ever stood for", "route list")
    leaf.add_argument("name", nargs="?", metavar="NAME", help="the history of that name, newest first")
    leaf = _leaf(group, "set", "let a name stand for models from now on", "route set")
    leaf.add_argument("name", metavar="NAME")
    leaf.add_argument("targets", nargs="+", metavar="MODEL[=WEIGHT]", help="public name, provider/model, best first")
    leaf.add_argument(
        "--by",
        choices=["order", "weight", "price", "latency"],
        default="order",
        help="which target is tried first (default: as they stand)",
    )
    leaf.add_argument("--retires", metavar="WHEN", help="30d (from now), or a date: from then on the name is refused")
    leaf.add_argument("--successor", metavar="NAME", help="what to use instead, told before and after")
    leaf = _leaf(group, "remove", "let a name stand for nothing any more", "route remove")
    leaf.add_argument("name", metavar="NAME")
    _import(tree)
    group = _group(tree, "provider", "upstreams that answer calls")
    leaf = _leaf(group, "check", "reach a provider, try its key, make one cheap call", "provider check")
    leaf.add_argument("name", nargs="?", metavar="NAME", help="default: every configured one")
    _leaf(group, "closed", "list models closed because their provider counted more than was held", "provider closed")
    leaf = _leaf(group, "counts", "what left, by day, recipient and category of data", "provider counts")
    leaf.add_argument("--days", type=int, default=30, metavar="N", help="today and N - 1 days before (default: 30)")
    leaf = _leaf(group, "open", "serve a closed model again", "provider open")
    leaf.add_argument("model", metavar="MODEL", help="public name, provider/model")
    group = _group(group, "key", "organisations' own keys at providers")
    leaf = _leaf(group, "add", "let an organisation's calls go to a provider with its own key", "provider key add")
    leaf.add_argument("provider", metavar="PROVIDER", help="a configured provider")
    leaf.add_argument("--org", required=True, metavar="ORG", help="organisation id")
    leaf.add_argument("--key-file", metavar="FILE", help="where the key stands (default: standard input)")
    leaf.add_argument(
        "--house-stands-in",
        action="store_true",
        help="where the provider refuses it, use the house's key at the plan's price",
    )
    leaf = _leaf(group, "list", "list an organisation's own provider keys, without the keys", "provider key list")
    leaf.add_argument("--org", required=True, metavar="ORG", help="organisation id")
    leaf = _leaf(group, "remove", "destroy an organisation's own key for a provider", "provider key remove")
    leaf.add_argument("provider", metavar="PROVIDER")
    leaf.add_argument("--org", required=True, metavar="ORG", help="organisation id")


def _plans(tree: Tree) -> None:
    group = _group(tree, "plan", "price books that follow from the list by margins, and which organisation has which")
    leaf = _leaf(group, "create", "make a plan", "plan create")
    leaf.add_argument("name", metavar="NAME", help="small letters, digits and dashes")
    leaf.add_argument("--margin", type=percent, metavar="PERCENT", help="over the list, of every model: 20, -12.5")
    leaf.add_argument("--own-fee", type=percent, metavar="PERCENT", help="of the list, for calls on own provider keys")
    leaf.add_argument(
        "--beyond",
        choices=["refuse", "list"],
        default="refuse",
        help="models that it does not name are refused, or cost what the list says (default: refuse)",
    )
    _leaf(group, "list", "list the plans and how many organisations have each", "plan list")
    leaf = _leaf(group, "show", "list the margins of a plan that are in force or to come", "plan show")
    leaf.add_argument("name", metavar="NAME", help="a plan, or own:PLAN for calls on own provider keys")
    leaf = _leaf(group, "set", "set one margin of a plan, from now or from a day on", "plan set")
    leaf.add_argument("name", metavar="NAME", help="a plan, or own:PLAN for calls on own provider keys")
    leaf.add_argument("--model", default="*", metavar="PATTERN", help="openai/gpt-4o, openai/*, * (default: *)")
    leaf.add_argument(
        "--class",
        dest="usage_class",
        default="*",
        choices=["*", "input", "cache", "output", "reasoning", "audio", "image"],
        help="of one class of usage only (default: all)",
    )
    what = leaf.add_mutually_exclusive_group(required=True)
    what.add_argument("--margin", type=percent, metavar="PERCENT", help="over or under the list: 20, -12.5")
    what.add_argument("--fee", type=percent, metavar="PERCENT", help="a part of the list, for own:PLAN: 5")
    what.add_argument("--leave-out", action="store_true", help="the plan does not have these models")
    what.add_argument("--end", action="store_true", help="the margin holds no longer; a wider one may")
    leaf.add_argument("--starts", metavar="WHEN", help="30d (from now), or a date (default: now)")
    leaf = _leaf(group, "assign", "give an organisation a plan, from now or from a day on", "plan assign")
    leaf.add_argument("name", metavar="NAME", help="a plan; list is the list again")
    leaf.add_argument("--org", required=True, metavar="ORG", help="organisation id")
    leaf.add_argument("--starts", metavar="WHEN", help="30d (from now), or a date (default: now)")
    leaf = _leaf(
        group, "margins", "what came in and what the list says that it cost, by month and model", "plan margins"
    )
    leaf.add_argument("--org", metavar="ORG", help="of one organisation only")
    leaf.add_argument("--since", default="90d", metavar="WHEN", help="90d (ago), or a date (default: 90d)")


def _import(tree: Tree) -> None:
    group = _group(tree, "import", "take over from another gateway")
    litellm = _leaf(group, "litellm", "plan to take over from a LiteLLM proxy's config.yaml", "import litellm")
    newapi = _leaf(
        group, "newapi", "plan to take over from New API or One API: channels as JSON, or its database", "import newapi"
    )
    for leaf in (litellm, newapi):
        leaf.add_argument("file", metavar="FILE")
        leaf.add_argument("--apply", action="store_true", help="do it: write the file, make routes and keys")
        leaf.add_argument("--org", metavar="ORG", help="organisation id, for whom keys are made")
        leaf.add_argument("--no-keys", action="store_true", help="make no keys")
        leaf.add_argument("--out", default="ruxa.toml", metavar="FILE", help="a new file (default ruxa.toml)")
    litellm.add_argument("--key-list", metavar="FILE", help="what GET /key/list?return_full_object=true answered")


def _audit(tree: Tree) -> None:
    group = _group(tree, "audit", "the log of what was done: check it, export it for others to check")
    leaf = _leaf(
        group, "verify", "check tree, signatures, times and every entry; name the first bad leaf", "audit verify"
    )
    leaf.add_argument(
        "--checkpoint", action="append", default=[], metavar="FILE", help="a checkpoint kept elsewhere; may be repeated"
    )
    leaf = _leaf(group, "export", "write the log as files that ruxa-verify checks without us", "audit export")
    leaf.add_argument("--out", required=True, metavar="DIR", help="a new or empty directory")
    leaf.add_argument(
        "--open", choices=("security", "proof"), help="also open the entries, for this purpose; without it only hashes"
    )


def _retention(tree: Tree) -> None:
    group = _group(tree, "policy", "the policy's promises and the record of processing")
    leaf = _leaf(group, "export", "write the record of processing for other tools", "policy export")
    leaf.add_argument("--format", required=True, choices=("fides", "dpv"), help="fides manifests or DPV (JSON-LD)")
    leaf.add_argument("--out", metavar="FILE", help="write it there instead of to standard output")
    group = _group(tree, "retention", "what is kept how long, and the hourly run that ends it")
    _leaf(group, "run", "destroy what is over its limit, as the hourly job does", "retention run")
    _leaf(group, "show", "show every limit, the oldest item of each class and the last runs", "retention show")
    _leaf(
        group,
        "acknowledge",
        "say that the clock is right after it jumped, so that destruction goes on",
        "retention acknowledge",
    )
    group = _group(tree, "hold", "reasons not to delete yet: by two people, for at most twelve months")
    leaf = _leaf(group, "place", "place a hold; somebody else approves it within 3 days", "hold place")
    leaf.add_argument("--org", metavar="ORG", help="organisation id")
    leaf.add_argument("--member", metavar="MEMBER", help="member id")
    leaf.add_argument("--reason", required=True, help="why; kept sealed, gone when the hold ends")
    leaf.add_argument(
        "--basis", required=True, choices=["legal_claim", "legal_obligation", "authority", "dispute"], help="on what"
    )
    leaf.add_argument("--owner", required=True, metavar="EMAIL", help="the member of staff who places it")
    leaf.add_argument("--until", required=True, metavar="WHEN", help="90d (from now), or a date; at most 12 months")
    leaf.add_argument("--gagged", action="store_true", help="the law forbids telling whom it concerns")
    leaf = _leaf(group, "approve", "approve a hold that somebody else has placed", "hold approve")
    leaf.add_argument("hold", metavar="HOLD", help="hold id")
    leaf.add_argument("--approver", required=True, metavar="EMAIL", help="the member of staff who approves it")
    leaf = _leaf(group, "list", "list holds", "hold list")
    leaf.add_argument("--all", action="store_true", help="also those that have ended")
    leaf = _leaf(group, "show", "show what a hold keeps; the audit log says that you did", "hold show")
    leaf.add_argument("hold", metavar="HOLD", help="hold id")
    leaf = _leaf(group, "end", "end a hold and destroy what it kept", "hold end")
    leaf.add_argument("hold", metavar="HOLD", help="hold id")


def _backups(tree: Tree) -> None:
    group = _group(tree, "backup", "backups: make, export keys, try, end")
    leaf = _leaf(group, "create", "back up the data, sealed and signed", "backup create")
    leaf.add_argument("--out", required=True, metavar="DIR", help="folder for backups of data (or s3://BUCKET/PREFIX)")
    leaf.add_argument(
        "--kind",
        default="logical",
        choices=["logical", "base"],
        help="logical: rows, for any PostgreSQL (default); base: the cluster's files, to go to any moment from",
    )
    leaf = _leaf(group, "keys", "export the keystore, and write the recovery kit", "backup keys")
    leaf.add_argument("--out", required=True, metavar="DIR", help="folder for keys: never where the data goes")
    leaf.add_argument("--kit", metavar="FILE", help="where the recovery kit goes (default DIR/recovery-kit.json)")
    _kit_options(leaf, "public", "seal the kit to this key (PEM) instead of a passphrase")
    leaf = _leaf(group, "log", "archive the write-ahead log up to now", "backup log")
    leaf.add_argument("--out", required=True, metavar="DIR", help="folder of the base backups")
    leaf = _leaf(group, "list", "list the backups in a folder", "backup list")
    leaf.add_argument("dir", metavar="DIR")
    leaf = _leaf(group, "verify", "check every object and signature in a folder", "backup verify")
    leaf.add_argument("dir", metavar="DIR")
    leaf = _leaf(group, "expire", "remove what is over its time, as the hourly job does", "backup expire")
    leaf.add_argument("--dir", metavar="DIR", help="folder of data backups")
    leaf.add_argument("--keys-dir", metavar="DIR", help="folder of keystore exports")
    leaf = _leaf(group, "drill", "restore on a scratch instance, check it, measure it", "backup drill")
    leaf.add_argument("--dir", metavar="DIR", help="folder of data backups (default: backup.target)")
    leaf.add_argument("--keystore", metavar="DIR", help="folder of keystore exports (default: backup.keys_target)")
    leaf.add_argument("--recovery-kit", metavar="FILE", help="open with this kit, as after a loss")
    leaf.add_argument("--kind", choices=["logical", "base"], help="which kind to try (default: in turns)")
    _kit_options(leaf, "private", "private half (PEM) of the key that the kit is sealed to")
    leaf = _leaf(tree, "restore", "bring an instance back from a backup, into an empty directory", "restore")
    leaf.add_argument("dir", metavar="DIR", help="folder of backups (the newest is taken), or one backup in it")
    leaf.add_argument("--recovery-kit", required=True, metavar="FILE")
    leaf.add_argument("--keystore", metavar="DIR", help="folder of keystore exports (default: where the kit lies)")
    leaf.add_argument("--checkpoint", metavar="FILE", help="a checkpoint of the audit log from outside")
    leaf.add_argument(
        "--accept-old-checkpoint",
        metavar="REASON",
        help="restore beside a checkpoint that is too old to tell what was erased; it stays in quarantine",
    )
    leaf.add_argument("--backup", metavar="NAME", help="this backup instead of the newest")
    leaf.add_argument("--kind", choices=["logical", "base"], help="newest of this kind (default logical)")
    leaf.add_argument("--until", metavar="WHEN", help="to this moment, by a base backup and its log")
    _kit_options(leaf, "private", "private half (PEM) of the key that the kit is sealed to")
    group = _group(tree, "quarantine", "a restored directory that may not serve yet")
    _leaf(group, "show", "say what keeps it in quarantine, and what nobody can know", "quarantine show")
    leaf = _leaf(group, "release", "let it serve, when nothing stands against it", "quarantine release")
    leaf.add_argument("--checkpoint", metavar="FILE", help="a checkpoint of the audit log from outside")
    leaf.add_argument("--accept", metavar="REASON", help="answer for what is open; the reason is logged")


def _kit_options(leaf: ArgumentParser, half: str, help_: str) -> None:
    leaf.add_argument("--passphrase-file", metavar="FILE", help="the kit's passphrase (or RUXA_RECOVERY_PASSPHRASE)")
    leaf.add_argument("--recovery-key", metavar="FILE", help=f"X25519 {half} key: {help_}")


def _conformance(tree: Tree) -> None:
    leaf = _leaf(tree, "conformance", "run the public wire cases on a gateway and print its score", "conformance")
    leaf.add_argument("--target", metavar="URL", help="the gateway (default: one of its own, started for the run)")
    leaf.add_argument("--key", metavar="KEY", help="a key of that gateway")
    leaf.add_argument("--case", metavar="ID", help="one case (W13), or a run of it (W13.OC-AM.stream)")
    leaf.add_argument("--upstream-port", type=whole, metavar="N", help="where the scripted provider listens (8430)")
    leaf.add_argument("--routes", metavar="FILE", help="how a gateway without a config file is told where calls go")
    leaf.add_argument(
        "--print-config",
        choices=["ruxa", "litellm", "portkey"],
        help="print the config that points that gateway at the scripted provider, and do nothing else",
    )


def _upkeep(tree: Tree) -> None:
    leaf = _leaf(
        tree, "sandbox", "run the sandbox provider, or the sandbox processor, on its own", "sandbox", json=False
    )
    leaf.add_argument("--host", default="127.0.0.1")
    leaf.add_argument("--port", type=whole, help="0 for any free one (default 8419, of the processor 8420)")
    leaf.add_argument("--processor", action="store_true", help="the payment processor: it plays Stripe and PayPal")
    leaf.add_argument("--webhook-url", metavar="URL", help="tell payments to URL/stripe and URL/paypal")
    _conformance(tree)
    group = _group(tree, "demo", "the demo of a new data directory")
    _leaf(group, "remove", "end the demo: its key, member and credit; the installation becomes live", "demo remove")
    _leaf(tree, "doctor", "look for what is wrong, and say what to do", "doctor")
    _leaf(tree, "settings", "print each setting and where it came from", "settings")
    group = _group(tree, "keys", "the keys that seal what is stored")
    _leaf(group, "show", "who keeps them, which there are, how old, and which processes hold some", "keys show")
    leaf = _leaf(group, "rotate", "replace keys while the server serves; all stays readable", "keys rotate")
    kinds = ("epoch", "subject", "index", "pepper", "signing")
    leaf.add_argument("kind", metavar="KIND", nargs="?", default="epoch", choices=kinds, help=", ".join(kinds))
    leaf.add_argument(
        "--class",
        dest="key_class",
        default="account",
        choices=("account", "consent", "content", "support", "usage"),
        help="of subjects' keys: which class (default account)",
    )
    leaf.add_argument("--use", choices=("audit", "backup", "receipt", "report"), help="of signing keys: only this use")
    leaf.add_argument("--now", action="store_true", help="of signing keys: sign by the new one at once, not in 30 days")
    leaf = _leaf(group, "end", "destroy the older versions of a replaced key; what only they find is lost", "keys end")
    leaf.add_argument("kind", metavar="KIND", choices=("pepper", "index"), help="pepper, index")
    leaf.add_argument("--yes", action="store_true", help="do not ask")
    group = _group(tree, "db", "the database")
    leaf = _leaf(group, "url", "print how psql reaches the database as operator", "db url")
    leaf.add_argument("--show-password", action="store_true", help="on a terminal too (a script gets it always)")
    _leaf(group, "migrate", "apply the schema's steps", "db migrate")
    leaf = _leaf(group, "setup", "prepare a PostgreSQL of your own, once, as its administrator", "db setup")
    leaf.add_argument("--admin-url", metavar="URL", help="connect as this administrator")
    leaf.add_argument("--print", action="store_true", help="print the SQL instead of running it")


def _no_command(root: CommandParser, given: Sequence[str]) -> str | None:
    """What to say when ``given`` names no command: the nearest one, and the list of those there are."""
    at, words = root, ["ruxa"]
    for word in given:
        if word.startswith("-") or at.commands is None:
            return None
        if word not in at.commands.choices:
            names: list[str] = list(at.commands.choices)
            near = difflib.get_close_matches(word, names, n=1)
            meant = [f"ruxa {command}" for command, _ in _commands(root) if command.split()[-1] == word] or [
                f"{' '.join(words)} {name}" for name in near
            ]
            hint = f"; did you mean `{meant[0]}`?" if meant else "."
            return f"There is no command `{' '.join(words)} {word}`{hint}\n" + _listed(at)
        at = at.commands.choices[word]
        words.append(word)
    return None if at.commands is None else f"`{' '.join(words)}` needs a command.\n" + _listed(at)


def _listed(at: CommandParser) -> str:
    rows = list(_commands(at))
    width = max(len(command) for command, _ in rows)
    return "\n".join(["Commands:", *(f"  ruxa {command.ljust(width)}  {about}" for command, about in rows)])


def _commands(at: CommandParser) -> Iterator[tuple[str, str]]:
    """Every command below, in full, and what it does."""
    for below in at.commands.choices.values():
        if below.commands is None:
            yield below.get_default("command"), below.description
        else:
            yield from _commands(below)


def _complain(text: str) -> int:
    from ruxa.cli import output

    output.complain(text)
    return COULD_NOT_RUN


def _act(command: str) -> Act:
    """The function of a command; only its module is imported."""
    match command.split():
        case ["run"]:
            from ruxa.cli.serve import run as act
        case ["conformance"]:
            from ruxa.cli.conformance import conformance as act
        case ["sandbox"]:
            from ruxa.cli.serve import sandbox as act
        case ["operator", "add"]:
            from ruxa.cli.people import operator_add as act
        case ["member", "add"]:
            from ruxa.cli.people import member_add as act
        case ["subject", "restrict"]:
            from ruxa.cli.restrict import restrict as act
        case ["subject", "erase"]:
            from ruxa.cli.subject import erase as act
        case ["subject", "export"]:
            from ruxa.cli.subject import export as act
        case ["org", "create"]:
            from ruxa.cli.organisations import create as act
        case ["org", "list"]:
            from ruxa.cli.organisations import list_ as act
        case ["org", "show"]:
            from ruxa.cli.organisations import show as act
        case ["org", "limit"]:
            from ruxa.cli.organisations import limit as act
        case ["org", "budget"]:
            from ruxa.cli.organisations import budget as act
        case ["org", "credit"]:
            from ruxa.cli.organisations import credit as act
        case ["key", "create"]:
            from ruxa.cli.keys import create as act
        case ["key", "set"]:
            from ruxa.cli.keys import set_ as act
        case ["key", "list"]:
            from ruxa.cli.keys import list_ as act
        case ["key", "revoke"]:
            from ruxa.cli.keys import revoke as act
        case ["key", "rotate"]:
            from ruxa.cli.keys import rotate as act
        case ["import", "litellm"]:
            from ruxa.cli.importing import litellm_ as act
        case ["import", "newapi"]:
            from ruxa.cli.importing import newapi_ as act
        case ["usage", "show"]:
            from ruxa.cli.usage import show as act
        case ["usage", "list"]:
            from ruxa.cli.usage import list_ as act
        case ["ledger", "check"]:
            from ruxa.cli.money import check as act
        case ["ledger", "balance"]:
            from ruxa.cli.books import balance as act
        case ["ledger", "export"]:
            from ruxa.cli.books import export as act
        case ["payment", *rest]:
            return _payment_act(rest)
        case ["backup" | "route" | "provider", *_]:
            return _upkeep_act(command.split())
        case ["price" | "plan", *_]:
            return _pricing_act(command.split())
        case ["invoice" | "reconcile", *_]:
            return _bookkeeping_act(command.split())
        case ["ledger", "lines"]:
            from ruxa.cli.money import lines as act
        case ["policy", "export"]:
            from ruxa.cli.policy import export as act
        case ["audit", "verify"]:
            from ruxa.cli.audit import verify as act
        case ["audit", "export"]:
            from ruxa.cli.audit import export_ as act
        case ["keys", "show"]:
            from ruxa.cli.custody import show as act
        case ["keys", "end"]:
            from ruxa.cli.custody import end as act
        case ["keys", "rotate"]:
            from ruxa.cli.custody import rotate as act
        case ["retention", "run"]:
            from ruxa.cli.retention import run as act
        case ["retention", "show"]:
            from ruxa.cli.retention import show as act
        case ["retention", "acknowledge"]:
            from ruxa.cli.retention import acknowledge as act
        case ["hold", "place"]:
            from ruxa.cli.retention import hold_place as act
        case ["hold", "approve"]:
            from ruxa.cli.retention import hold_approve as act
        case ["hold", "list"]:
            from ruxa.cli.retention import hold_list as act
        case ["hold", "show"]:
            from ruxa.cli.retention import hold_show as act
        case ["hold", "end"]:
            from ruxa.cli.retention import hold_end as act
        case ["restore"]:
            from ruxa.cli.backup import restore_ as act
        case ["quarantine", "show"]:
            from ruxa.cli.backup import quarantine_show as act
        case ["quarantine", "release"]:
            from ruxa.cli.backup import quarantine_release as act
        case ["demo", "remove"]:
            from ruxa.cli.demo import remove as act
        case ["doctor"]:
            from ruxa.cli.doctor import doctor as act
        case ["settings"]:
            from ruxa.cli.settings import show as act
        case ["db", "url"]:
            from ruxa.cli.database import url as act
        case ["db", "migrate"]:
            from ruxa.cli.database import migrate as act
        case ["db", "setup"]:
            from ruxa.cli.database import setup as act
        case _:
            raise InvalidCall(f"No such command: {command}.")
    return act


def _payment_act(words: Sequence[str]) -> Act:
    """The function of a command of ``ruxa payment``."""
    match words:
        case ["list"]:
            from ruxa.cli.payments import listed as act
        case ["show"]:
            from ruxa.cli.payments import show as act
        case ["refund"]:
            from ruxa.cli.payments import refund as act
        case ["refunded"]:
            from ruxa.cli.payments import refunded as act
        case ["confirm"]:
            from ruxa.cli.payments import confirm as act
        case ["waiting"]:
            from ruxa.cli.payments import waiting as act
        case ["approve"]:
            from ruxa.cli.payments import approve as act
        case ["dispute"]:
            from ruxa.cli.payments import dispute as act
        case ["sync"]:
            from ruxa.cli.payments import sync as act
        case _:
            from ruxa.cli.payments import check as act
    return act


def _bookkeeping_act(words: Sequence[str]) -> Act:
    """The function of a command of ``ruxa invoice`` or ``ruxa reconcile``."""
    match words:
        case ["invoice", "list"]:
            from ruxa.cli.books import invoices as act
        case ["invoice", "show"]:
            from ruxa.cli.books import invoice as act
        case ["invoice", "pdf"]:
            from ruxa.cli.books import printed as act
        case ["invoice", "issue"]:
            from ruxa.cli.books import issue as act
        case ["invoice", "profile"]:
            from ruxa.cli.books import details as act
        case ["reconcile", "run"]:
            from ruxa.cli.books import compare as act
        case ["reconcile", "list"]:
            from ruxa.cli.books import differing as act
        case ["reconcile", "show"]:
            from ruxa.cli.books import difference as act
        case ["reconcile", "resolve"]:
            from ruxa.cli.books import resolve as act
        case _:
            from ruxa.cli.books import reported as act
    return act


def _pricing_act(words: Sequence[str]) -> Act:
    """The function of a command of ``ruxa price`` or ``ruxa plan``."""
    match words:
        case ["price", "set"]:
            from ruxa.cli.money import price_set as act
        case ["price", "list"]:
            from ruxa.cli.money import price_list as act
        case ["price", "retire"]:
            from ruxa.cli.money import price_retire as act
        case ["price", "recompute"]:
            from ruxa.cli.money import price_recompute as act
        case ["plan", "create"]:
            from ruxa.cli.plans import create as act
        case ["plan", "list"]:
            from ruxa.cli.plans import list_ as act
        case ["plan", "show"]:
            from ruxa.cli.plans import show as act
        case ["plan", "set"]:
            from ruxa.cli.plans import set_ as act
        case ["plan", "assign"]:
            from ruxa.cli.plans import assign as act
        case ["plan", "margins"]:
            from ruxa.cli.plans import margins as act
        case _:
            from ruxa.cli.money import price_import as act
    return act


def _upkeep_act(words: Sequence[str]) -> Act:
    """The function of a command of ``ruxa backup``, ``ruxa provider`` or ``ruxa route``."""
    match words:
        case ["route", "list"]:
            from ruxa.cli.routes import list_ as act
        case ["route", "set"]:
            from ruxa.cli.routes import set_ as act
        case ["route", "remove"]:
            from ruxa.cli.routes import remove as act
        case ["provider", "key", "add"]:
            from ruxa.cli.provider_keys import add as act
        case ["provider", "key", "list"]:
            from ruxa.cli.provider_keys import list_ as act
        case ["provider", "key", "remove"]:
            from ruxa.cli.provider_keys import remove as act
        case ["provider", "check"]:
            from ruxa.cli.providers import check as act
        case ["provider", "counts"]:
            from ruxa.cli.outbound import counts as act
        case ["provider", "closed"]:
            from ruxa.cli.providers import closed as act
        case ["provider", "open"]:
            from ruxa.cli.providers import reopen as act
        case ["backup", "create"]:
            from ruxa.cli.backup import create as act
        case ["backup", "keys"]:
            from ruxa.cli.backup import keys as act
        case ["backup", "log"]:
            from ruxa.cli.backup import log as act
        case ["backup", "list"]:
            from ruxa.cli.backup import list_ as act
        case ["backup", "verify"]:
            from ruxa.cli.backup import verify as act
        case ["backup", "expire"]:
            from ruxa.cli.backup import expire as act
        case _:
            from ruxa.cli.backup import drill_ as act
    return act
