"""Settings: what a process needs to start, frozen and typed; where each value came from is remembered.

Defaults < ``ruxa.toml`` < ``RUXA_*`` < command line. An unknown key is an error that names the nearest known one.
Secrets never stand in the file: a field that holds one is a reference, ``env:NAME`` or ``file:PATH``, read by
``read_secret`` where it is used.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit, urlunsplit

import msgspec

from ruxa.kernel.errors import InvalidCall

Role = Literal["all", "gateway", "console", "worker"]


class ProviderSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[providers.NAME]``: base URL, key (``env:NAME`` or ``file:PATH``), dialect when the catalogue lacks it.

    pass_fields: top-level fields that it is sent though the tables do not know them; drop_fields: those that it refuses
    and is never sent.
    where, retention_days, trains, zero_retention, mechanism, certified_on: what the operator's contract with it says,
    over the catalogue: the country where it computes (ISO 3166), days it keeps what it gets, whether it trains on it,
    whether it keeps nothing, what a transfer rests on (``adequacy``, ``scc``, ``bcr``, ``own``), and the day on which
    that was last certified or signed (``2026-11-24``). Not said: unknown.
    """

    base_url: str | None = None
    key: str | None = None
    dialect: str | None = None
    pass_fields: tuple[str, ...] = ()
    drop_fields: tuple[str, ...] = ()
    where: str | None = None
    retention_days: int | None = None
    trains: bool | None = None
    zero_retention: bool | None = None
    mechanism: str | None = None
    certified_on: str | None = None


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[models."provider/name"]``: prices (micros per million tokens) and limits (tokens) over the catalogue.

    reasoning_tokens: about how many tokens it thinks, unseen, before it answers; only for callers who leave before the
    provider told its figures; ways: what it can do within its dialect, for calls that are translated to it; lacks: of
    images, documents, audio, video, tools what it can't take; both instead of what the catalogue says.
    """

    input_micros_per_mtok: int | None = None
    output_micros_per_mtok: int | None = None
    cache_read_micros_per_mtok: int | None = None
    cache_write_5m_micros_per_mtok: int | None = None
    cache_write_1h_micros_per_mtok: int | None = None
    input_tokens_max: int | None = None
    output_tokens_max: int | None = None
    reasoning_tokens: int | None = None
    upstream_model: str | None = None
    aliases: tuple[str, ...] = ()
    ways: tuple[str, ...] | None = None
    lacks: tuple[str, ...] | None = None


class ProcessorSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[payments.NAME]``: a real payment processor, ``stripe``, ``paypal``, ``bank`` (transfers that staff confirm) or
    one that an installed package brings; its presence keeps the demo from starting (decision D9).

    key: Stripe's secret key, PayPal's client secret; client_id: PayPal's; webhook_secret: Stripe's signing secret,
    several with spaces between them while it is rolled over; webhook_id: PayPal's id of our webhook; webhook_check: by
    its ``signature`` here, or by PayPal's ``api``; roots: a PEM file of the certificates that PayPal's signatures must
    go back to, instead of the system's of DigiCert; base_url: the API's, when it is not the processor's own; pages: the
    origins of the pages that customers are sent to, when they are not (a domain of yours at Stripe); account:
    our account there (``acct_...``, PayPal's merchant id), when it can't be asked for; methods: what customers may
    choose; tax: the processor computes tax (Stripe); lines: of a bank account, as ``IBAN: DE...``, for ``bank``; where:
    the processor's country (ISO 3166); options: what a processor of an installed package asks
    for, each as ``NAME=VALUE``.
    """

    key: str | None = None
    client_id: str | None = None
    webhook_secret: str | None = None
    webhook_id: str | None = None
    webhook_check: Literal["signature", "api"] = "signature"
    roots: Path | None = None
    base_url: str | None = None
    pages: tuple[str, ...] = ()
    account: str | None = None
    methods: tuple[str, ...] = ()
    tax: bool = False
    lines: tuple[str, ...] = ()
    where: str = "unknown"
    options: tuple[str, ...] = ()


class BillingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[billing]``: who sells, as invoices say it: legal ``name``, ``address`` lines, ``country`` (ISO 3166),
    ``tax_id``, ``contact``; no invoices without a name, only receipts.

    series: what document numbers begin with; fiscal_year_month: the month in which a fiscal year begins (1 to 12);
    tax: ``none``, ``table`` (the countries of ``[tax.COUNTRY]``) or ``processor`` (what the payment processor says);
    tax_at: ``purchase``: credit is taxed when it is bought; rounding: of a tax line to cents: ``half_up``,
    ``half_even``, ``up`` or ``down``.
    """

    name: str | None = None
    address: tuple[str, ...] = ()
    country: str | None = None
    tax_id: str | None = None
    contact: str | None = None
    series: str = ""
    fiscal_year_month: int = 1
    tax: Literal["none", "table", "processor"] = "none"
    tax_at: Literal["purchase"] = "purchase"
    rounding: Literal["half_up", "half_even", "up", "down"] = "half_up"


class TaxSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[tax.COUNTRY]`` (ISO 3166): the ``rate`` in percent (a text: ``"19"``, ``"8.1"``) for customers there, the
    ``name`` of the tax as documents print it; reverse_charge: a business there with a tax id of its country owes it.
    """

    rate: str = "0"
    name: str = "VAT"
    reverse_charge: bool = False


class WitnessSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[witnesses.NAME]``: a C2SP witness that cosigns the audit log's checkpoints: its submission prefix ``url``, its
    public ``key`` (name+id+base64, type 4) and where it is (country, ISO 3166). It gets hashes, never data.
    """

    url: str | None = None
    key: str | None = None
    where: str = "unknown"


class MailSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[mail]``: ``smtp://host:port`` or ``outbox:`` (kept in the console)."""

    url: str = "outbox:"
    sender: str = "Ruxa <no-reply@localhost>"


class EgressSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[egress]``: ``allow_loopback`` concerns URLs that customers supply, in development only."""

    allow_loopback: bool = False


class StorageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[storage]``: where stored content over 64 KiB lies: ``folder:`` (DATA/objects), ``folder:/a/path``, or
    ``s3://bucket/prefix`` with endpoint, region, ``access_key`` and ``secret_key`` (``env:NAME`` or ``file:PATH``);
    where: the store's country (ISO 3166), for the register of recipients.
    """

    url: str = "folder:"
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = None
    where: str = "unknown"


class EpochKeySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[epoch_keys]``: the ``keeper`` of the keys of epochs: ``directory`` (KEYS), or a key server: ``openbao`` with
    ``url`` (https), ``token`` (``env:NAME`` or ``file:PATH``), the transit engine's ``mount``, a ``namespace``, ``ca``
    (a PEM file) for a private certificate; ``aws`` with ``aws_region``, ``aws_access_key``, ``aws_secret_key`` and, for
    temporary ones, ``aws_session_token`` (references); ``google`` with ``google_key_ring``
    (projects/P/locations/L/keyRings/R) and ``google_credentials`` (reference to a service account's key file; without
    it the machine's own account); aws_url, google_url: other endpoints than the public ones; where: the server's
    country (ISO 3166). A server that is named without being the keeper is only read.
    """

    keeper: Literal["directory", "openbao", "aws", "google"] = "directory"
    url: str | None = None
    token: str | None = None
    mount: str = "transit"
    namespace: str | None = None
    ca: str | None = None
    aws_region: str | None = None
    aws_access_key: str | None = None
    aws_secret_key: str | None = None
    aws_session_token: str | None = None
    aws_url: str | None = None
    google_key_ring: str | None = None
    google_credentials: str | None = None
    google_url: str | None = None
    where: str = "unknown"


class BackupSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[backup]``: where scheduled backups go: ``folder:/a/path`` or ``s3://bucket/prefix``; none without ``target``.

    target: of the data, once a day; keys_target: of the keystore's export, every hour, and of epoch keys: never in the
    same place as the data; kit: the recovery kit that drills open with (a file), drill_passphrase: its passphrase
    (``env:NAME`` or ``file:PATH``); point_in_time: base backups and the write-ahead log too (embedded PostgreSQL
    only); endpoint, region, access_key, secret_key, where: of S3, as in ``[storage]``; those of the keys' target with
    ``keys_`` before them.
    """

    target: str | None = None
    keys_target: str | None = None
    kit: str | None = None
    drill_passphrase: str | None = None
    point_in_time: bool = True
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = None
    where: str = "unknown"
    keys_endpoint: str | None = None
    keys_region: str = "us-east-1"
    keys_access_key: str | None = None
    keys_secret_key: str | None = None
    keys_where: str = "unknown"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One process's settings; paths absolute once loaded.

    host, port: where the door listens (port 0: any free one); data: the data directory; keys: the directory of
    epoch keys, outside the database and every backup (default ``<data>-keys``); config: the file read; role: which
    processes run here; workers: gateway processes; demo: whether an empty data directory becomes a demo; simulated:
    whether a new data directory gets a movable clock; clock_offset_s: how far that clock is moved, in seconds;
    database_url: a PostgreSQL of your own instead of the embedded one; public_url: how people reach the console;
    operator: who runs this server, as the contact page names them; contact: where they are reached, a mail or https
    address, for the contact page and ``security.txt``;
    trusted_proxies: addresses whose ``X-Forwarded-*`` count; body_bytes_max: bound of a request body, bytes;
    trial_micros: credit of a new organisation, USD micros; metrics_token: reference to the token of ``/metrics``;
    providers, models, payments, tax, witnesses, mail, egress, storage, epoch_keys, backup, billing: tables of the file;
    origins: where each value came from.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    data: Path = Path(".ruxa")
    keys: Path = Path(".ruxa-keys")
    config: Path | None = None
    role: Role = "all"
    workers: int = 1
    demo: bool = True
    simulated: bool = False
    clock_offset_s: int = 0
    database_url: str | None = None
    public_url: str | None = None
    operator: str | None = None
    contact: str | None = None
    trusted_proxies: tuple[str, ...] = ()
    body_bytes_max: int = 32 * 1024 * 1024
    trial_micros: int = 0
    metrics_token: str | None = None
    providers: dict[str, ProviderSettings] = msgspec.field(default_factory=dict[str, ProviderSettings])
    models: dict[str, ModelSettings] = msgspec.field(default_factory=dict[str, ModelSettings])
    payments: dict[str, ProcessorSettings] = msgspec.field(default_factory=dict[str, ProcessorSettings])
    tax: dict[str, TaxSettings] = msgspec.field(default_factory=dict[str, TaxSettings])
    witnesses: dict[str, WitnessSettings] = msgspec.field(default_factory=dict[str, WitnessSettings])
    mail: MailSettings = MailSettings()
    egress: EgressSettings = EgressSettings()
    storage: StorageSettings = StorageSettings()
    backup: BackupSettings = BackupSettings()
    epoch_keys: EpochKeySettings = EpochKeySettings()
    billing: BillingSettings = BillingSettings()
    origins: dict[str, str] = msgspec.field(default_factory=dict[str, str])


TABLES = {
    "providers": ProviderSettings,
    "models": ModelSettings,
    "payments": ProcessorSettings,
    "tax": TaxSettings,
    "witnesses": WitnessSettings,
}
SECTIONS = {
    "mail": MailSettings,
    "egress": EgressSettings,
    "storage": StorageSettings,
    "epoch_keys": EpochKeySettings,
    "backup": BackupSettings,
    "billing": BillingSettings,
}
# Fields that only ever hold a reference to a secret.
REFERENCES = frozenset(
    {
        "metrics_token",
        "providers.*.key",
        "payments.*.key",
        "payments.*.webhook_secret",
        "storage.access_key",
        "storage.secret_key",
        "backup.access_key",
        "backup.secret_key",
        "backup.keys_access_key",
        "backup.keys_secret_key",
        "backup.drill_passphrase",
        "epoch_keys.token",
        "epoch_keys.aws_access_key",
        "epoch_keys.aws_secret_key",
        "epoch_keys.aws_session_token",
        "epoch_keys.google_credentials",
    }
)
# Command-line and environment names that differ from the field's.
_RENAMED = {"clock_offset": "clock_offset_s"}
# Variables that other parts of the tree read: not settings, never an error.
_FOREIGN_PREFIXES = ("RUXA_TEST_", "RUXA_DEV_", "RUXA_BENCH_")
# A client's API key, as our examples name it; near to RUXA_KEYS, and often set where a server is started.
_CLIENTS = frozenset({"RUXA_KEY"})
_FILE_NAME = "ruxa.toml"
_CONTACT = re.compile(r"[\w.+-]+@[\w-]+(\.[\w-]+)+|https://[!-~]+", re.ASCII)
_DURATION = re.compile(r"([+-]?)(\d+)([smhdw])")
_DURATION_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def load(
    *,
    env: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    cwd: Path | None = None,
) -> Settings:
    """Settings from defaults, the file, ``env`` (the process's by default) and ``flags`` (None = not given).

    Raises InvalidCall, with one line that says what to change, for an unknown key, a wrong type, a secret written
    where a reference belongs, or a file that cannot be read.
    """
    env = os.environ if env is None else env
    cwd = Path.cwd() if cwd is None else cwd
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}

    config = _config_path(given, env, cwd)
    if config is not None:
        for dotted, value in _from_file(config):
            values[dotted], origins[dotted] = value, config.name
        values["config"], origins["config"] = str(config), "--config" if "config" in given else "found"
    for variable, dotted, text in _from_environment(env):
        values[dotted], origins[dotted] = _read_text(dotted, text, variable), variable
    for name, value in given.items():
        flag = _flag_of(name)
        values[name] = _read_text(name, value, flag) if isinstance(value, str) else value
        origins[name] = flag

    for dotted, value in values.items():
        if _pattern(dotted) in REFERENCES:
            _check_reference(dotted, value, origins[dotted])
    settings = _build(values, origins)
    data = (cwd / settings.data).resolve()
    keys = (cwd / settings.keys).resolve() if "keys" in origins else data.with_name(data.name + "-keys")
    for dotted in _dotted_defaults(settings):
        origins.setdefault(dotted, "default")
    return _check(msgspec.structs.replace(settings, data=data, keys=keys, origins=origins))


def read_secret(reference: str, *, env: Mapping[str, str] | None = None) -> str:
    """What ``env:NAME`` or ``file:PATH`` holds, stripped. Raises InvalidCall when it holds nothing."""
    kind, _, where = reference.partition(":")
    if kind == "env":
        text = (os.environ if env is None else env).get(where, "").strip()
        if not text:
            raise InvalidCall(f"The environment variable {where} is not set.", code="secret_missing")
        return text
    if kind == "file":
        try:
            text = Path(where).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise InvalidCall(
                f"The secret file {where} cannot be read: {error.strerror}.", code="secret_missing"
            ) from None
        if not text:
            raise InvalidCall(f"The secret file {where} is empty.", code="secret_missing")
        return text
    raise InvalidCall("A secret is named by env:NAME or file:PATH.", code="secret_in_the_open")


def fingerprint(secret: str) -> str:
    """Eight hex digits that tell two secrets apart without showing either."""
    return hashlib.sha256(b"ruxa settings fingerprint\0" + secret.encode()).hexdigest()[:8]


def duration_s(text: str) -> int:
    """``+91d``, ``-2h``, ``90`` (seconds), ``1d12h`` -> seconds. Raises InvalidCall."""
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    if not re.fullmatch(r"[+-]?(\d+[smhdw])+", text):
        raise InvalidCall(f"{text!r} is not a duration; write for example +91d, -2h or 1d12h.", code="bad_setting")
    total = sum(int(count) * _DURATION_S[unit] for _, count, unit in _DURATION.findall(text))
    return -total if text.startswith("-") else total


def explain(settings: Settings, *, env: Mapping[str, str] | None = None) -> Iterator[tuple[str, str, str]]:
    """(name, value, origin) of every setting, secrets as fingerprints."""
    for dotted, value in sorted(_dotted_defaults(settings).items()):
        yield dotted, _shown(dotted, value, env), settings.origins.get(dotted, "default")


def names() -> list[str]:
    """The dotted name of every setting; ``*`` stands for a name the operator chooses."""
    found = [name for name in _fields(Settings) if name not in {*TABLES, *SECTIONS, "origins"}]
    found += [f"{table}.*.{name}" for table, struct in TABLES.items() for name in _fields(struct)]
    found += [f"{section}.{name}" for section, struct in SECTIONS.items() for name in _fields(struct)]
    return found


def encode(settings: Settings) -> bytes:
    """For a child process; ``decode`` is its inverse."""
    return msgspec.json.encode(settings, enc_hook=str)


def decode(data: bytes) -> Settings:
    """The settings ``encode`` wrote."""
    return msgspec.json.decode(data, type=Settings, dec_hook=_path_hook)


def _config_path(given: dict[str, object], env: Mapping[str, str], cwd: Path) -> Path | None:
    chosen = given.get("config") or env.get("RUXA_CONFIG")
    if chosen is None:
        found = cwd / _FILE_NAME
        return found if found.is_file() else None
    path = (cwd / str(chosen)).resolve()
    if not path.is_file():
        raise InvalidCall(f"There is no settings file {path}.", code="bad_setting")
    return path


def _from_file(path: Path) -> Iterator[tuple[str, object]]:
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCall(f"{path} cannot be read: {error}.", code="bad_setting") from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidCall(f"{path} is not TOML: {error}.", code="bad_setting") from None
    for name, value in tree.items():
        if name in TABLES:
            for entry, fields in _table(name, value, path).items():
                for field, inner in _table(f"{name}.{entry}", fields, path).items():
                    yield _known(f"{name}.{entry}.{field}", str(path)), inner
                yield f"{name}.{entry}", {}
        elif name in SECTIONS:
            for field, inner in _table(name, value, path).items():
                yield _known(f"{name}.{field}", str(path)), inner
        else:
            dotted = _known(_RENAMED.get(name, name), str(path))
            yield dotted, duration_s(value) if name in _RENAMED and isinstance(value, str) else value


def _table(name: str, value: object, path: Path) -> dict[str, object]:
    if not isinstance(value, dict):
        raise InvalidCall(f"{path}: [{name}] must be a table.", code="bad_setting")
    return cast(dict[str, object], value)


def _from_environment(env: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    twins = {f"RUXA_{name.upper()}": name for name in _scalars()}
    twins |= {f"RUXA_{twin.upper()}": name for twin, name in _RENAMED.items()}
    for variable, text in sorted(env.items()):
        if not variable.startswith("RUXA_") or variable in _CLIENTS or variable.startswith(_FOREIGN_PREFIXES):
            continue
        if variable == "RUXA_NO_DEMO":
            yield variable, "demo", "false" if _truth(text, variable) else "true"
        elif variable in twins:
            yield variable, twins[variable], text
        elif "__" in variable:
            parts = variable.removeprefix("RUXA_").lower().split("__")
            yield variable, _known(".".join(parts), "the environment", shown=variable), text
        elif near := difflib.get_close_matches(variable, twins, n=1, cutoff=0.87):
            raise InvalidCall(
                f"Unknown setting {variable} in the environment; did you mean {near[0]}?", code="bad_setting"
            )


def _known(dotted: str, where: str, *, shown: str | None = None) -> str:
    known = names()
    if _pattern(dotted) in known and "origins" not in dotted:
        return dotted
    twins = {name: name for name in known} | {name.rpartition(".")[2]: name for name in known}
    near = difflib.get_close_matches(_pattern(dotted), twins, n=1, cutoff=0.5) or difflib.get_close_matches(
        dotted.rpartition(".")[2], twins, n=1, cutoff=0.5
    )
    hint = f"; did you mean {_like(twins[near[0]], dotted)}?" if near else "."
    raise InvalidCall(f"Unknown setting {shown or dotted} in {where}{hint}", code="bad_setting")


def _like(pattern: str, dotted: str) -> str:
    head, star, field = pattern.partition(".*.")
    entry = dotted.partition(".")[2].rpartition(".")[0]
    return f"{head}.{entry}.{field}" if star and entry else pattern


def _pattern(dotted: str) -> str:
    """``providers.openai.key`` -> ``providers.*.key``; entry names may hold dots."""
    head, _, rest = dotted.partition(".")
    return f"{head}.*.{rest.rpartition('.')[2]}" if head in TABLES and "." in rest else dotted


def _fields(struct: type[msgspec.Struct]) -> tuple[str, ...]:
    return struct.__struct_fields__


def _scalars() -> list[str]:
    return [name for name in names() if "." not in name]


def _flag_of(name: str) -> str:
    return "--no-demo" if name == "demo" else "--" + name.replace("_", "-")


def _type_of(dotted: str) -> object:
    pattern = _pattern(dotted)
    head, _, field = pattern.replace("*.", "").partition(".")
    struct: type[msgspec.Struct] = TABLES.get(head) or SECTIONS.get(head) or Settings
    return get_type_hints(struct)[field or head]


def _read_text(dotted: str, text: str, where: str) -> object:
    """The typed value of a text from the environment or the command line."""
    wanted = _type_of(dotted)
    if dotted == "clock_offset_s":
        return duration_s(text)
    if get_origin(wanted) is tuple:
        return [part.strip() for part in text.split(",") if part.strip()]
    kinds = get_args(wanted) or (wanted,)
    if bool in kinds:
        return _truth(text, where)
    if int in kinds:
        try:
            return int(text.replace("_", ""))
        except ValueError:
            raise InvalidCall(f"{where} must be a whole number, not {text!r}.", code="bad_setting") from None
    return text


def _truth(text: str, where: str) -> bool:
    word = text.strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"", "0", "false", "no", "off"}:
        return False
    raise InvalidCall(f"{where} must be true or false, not {text!r}.", code="bad_setting")


def _check_reference(dotted: str, value: object, where: str) -> None:
    if not isinstance(value, str) or not value.startswith(("env:", "file:")):
        raise InvalidCall(
            f"{dotted} ({where}) must name its secret as env:NAME or file:PATH, never hold it.",
            code="secret_in_the_open",
        )


def _build(values: dict[str, Any], origins: dict[str, str]) -> Settings:
    tree: dict[str, Any] = {}
    for dotted, value in values.items():
        head, _, rest = dotted.partition(".")
        if head in TABLES:
            entry, _, field = rest.rpartition(".") if _pattern(dotted) in names() else (rest, "", "")
            fields = tree.setdefault(head, {}).setdefault(entry, {})
            if field:
                fields[field] = value
            else:
                origins.pop(dotted, None)
        elif head in SECTIONS:
            tree.setdefault(head, {})[rest] = value
        else:
            tree[dotted] = value
    try:
        return msgspec.convert(tree, Settings, dec_hook=_path_hook)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        dotted = path.rstrip("`").lstrip(".").replace("[...]", "")
        origin = next((where for name, where in origins.items() if name == dotted), "the settings file")
        raise InvalidCall(
            f"Setting {dotted or '?'} ({origin}): {what[0].lower()}{what[1:]}.", code="bad_setting"
        ) from None


def _path_hook(kind: type, value: object) -> object:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"expected {kind.__name__}")


def _check(settings: Settings) -> Settings:
    if not 0 <= settings.port <= 65_535:
        raise InvalidCall(f"port must lie between 0 and 65535, not {settings.port}.", code="bad_setting")
    if not 1 <= settings.workers <= 64:
        raise InvalidCall(f"workers must lie between 1 and 64, not {settings.workers}.", code="bad_setting")
    if not 1024 <= settings.body_bytes_max <= 1024**3:
        raise InvalidCall("body_bytes_max must lie between 1 KiB and 1 GiB.", code="bad_setting")
    if settings.contact is not None and not _CONTACT.fullmatch(settings.contact):
        raise InvalidCall("contact must be a mail address or an https address.", code="bad_setting")
    if settings.trial_micros < 0:
        raise InvalidCall("trial_micros must not be negative.", code="bad_setting")
    for name, model in settings.models.items():
        for field, value in msgspec.structs.asdict(model).items():
            if isinstance(value, int) and value < 0:
                raise InvalidCall(f'models."{name}".{field} must not be negative.', code="bad_setting")
    _check_billing(settings)
    if settings.keys == settings.data or settings.data in settings.keys.parents:
        raise InvalidCall(
            f"The keys directory {settings.keys} must lie outside the data directory {settings.data}: "
            "a backup of the data must not hold the keys.",
            code="bad_setting",
        )
    return settings


def _check_billing(settings: Settings) -> None:
    billing = settings.billing
    countries = [("billing.country", billing.country), *((f"tax.{code}", code.upper()) for code in settings.tax)]
    for name, country in countries:
        if country is not None and not re.fullmatch(r"[A-Z]{2}", country):
            raise InvalidCall(f"{name}: a country is two capital letters (ISO 3166), as DE.", code="bad_setting")
    for code, tax in settings.tax.items():
        if not re.fullmatch(r"\d{1,2}(\.\d{1,4})?", tax.rate):
            raise InvalidCall(f'tax.{code}.rate is a percentage below 100, as "19" or "8.1".', code="bad_setting")
    if not 1 <= billing.fiscal_year_month <= 12:
        raise InvalidCall("billing.fiscal_year_month must lie between 1 and 12.", code="bad_setting")
    if not re.fullmatch(r"([A-Z0-9]{1,12}-)?", billing.series):
        raise InvalidCall(
            "billing.series is up to 12 capital letters and digits and a hyphen, as RX-.", code="bad_setting"
        )
    if billing.tax == "table" and billing.country is None:
        raise InvalidCall('billing.tax = "table" needs billing.country: where you sell from.', code="bad_setting")


def _dotted_defaults(settings: Settings) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name in _fields(Settings):
        value: Any = getattr(settings, name)
        if name in TABLES:
            for entry, fields in cast(dict[str, msgspec.Struct], value).items():
                for field, inner in msgspec.structs.asdict(fields).items():
                    flat[f"{name}.{entry}.{field}"] = inner
        elif name in SECTIONS:
            for field, inner in msgspec.structs.asdict(cast(msgspec.Struct, value)).items():
                flat[f"{name}.{field}"] = inner
        elif name != "origins":
            flat[name] = value
    return flat


def _shown(dotted: str, value: object, env: Mapping[str, str] | None) -> str:
    if value is None:
        return "-"
    if _pattern(dotted) in REFERENCES:
        try:
            return f"{value} (sha256 {fingerprint(read_secret(str(value), env=env))})"
        except InvalidCall:
            return f"{value} (not set)"
    if dotted in {"database_url", "mail.url"}:
        return _without_password(str(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(cast(tuple[str, ...], value)) or "-"
    return str(value)


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    if parts.password is None:
        return url
    host = parts.netloc.rpartition("@")[2]
    shown = f"{parts.username or ''}:[sha256 {fingerprint(parts.password)}]@{host}"
    return urlunsplit(parts._replace(netloc=shown))
