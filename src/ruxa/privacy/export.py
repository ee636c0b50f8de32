"""Export: a copy of what is kept about a person, for that person (P59 to P62): made while it is fetched, kept nowhere.

A ZIP of ``data/<table>.json`` and ``.csv`` for every table in which the data map ties rows to them, the columns that
are declared ``export=yes``, opened; the same for each organisation they own, with the content of its calls byte for
byte; ``schema/``, a README and a manifest with the SHA-256 of every file, signed with the instance's report key. Nobody
else is in it: columns about other people are
not asked for, and what another person's key seals is not opened.
"""

from __future__ import annotations

import contextlib
import csv
import io
import zipfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping, Sequence
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import IO, Any, Final, Literal
from uuid import UUID

import msgspec

from ruxa.access.audit import reading
from ruxa.egress.objects import Objects
from ruxa.kernel import codec, ids
from ruxa.kernel.datamap import KEEPS, Declaration
from ruxa.kernel.errors import NotFound, Unavailable
from ruxa.ledger.payments import corrections
from ruxa.privacy.content import items
from ruxa.privacy.erasures import records
from ruxa.privacy.erasures.records import Tie
from ruxa.privacy.files import kept
from ruxa.privacy.responses import kept as responses
from ruxa.store import inventory
from ruxa.store.inventory import Column
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work

EXPORT_DAYS: Final = 7
PURPOSE: Final = "provide"
PAGE: Final = 2000
ACTS_PAGE: Final = 100
_OF_OTHERS: Final = frozenset({"member", "staff", "subject", "hold"})
# Rows that hold content are up to 128 KiB each.
CONTENT_PAGE: Final = 50
# A copy keeps a connection for as long as its reader takes: more than so many at once would take them from everybody.
AT_ONCE: Final = 2
DOCUMENTS: Final = "ledger.document"
# What was answered to a dispute has no id of its own.
_ANSWER: Final = "payment.evidence.text_sealed"
# What prints an invoice or its like: the name of its file, and its bytes.
Paper = Callable[[Work, UUID], Awaitable[tuple[str, bytes]]]
_PARTS: Final[tuple[Literal["request", "answer"], ...]] = ("request", "answer")
# What a spreadsheet would take for a formula.
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_README: Final = """What is kept about you
======================

data/           one JSON and one CSV file for every place that holds something about you; audit.json: what you did,
                as the audit log has it
organisation/   the same for each organisation that you own; in content/ what is stored of its calls, byte for byte,
                in files/ what was uploaded, in documents/ its invoices and their like
schema/         what each column is: category, purpose, legal basis, how long it is kept
manifest.json   every file with its SHA-256, and who made this copy when
manifest.sig    an Ed25519 signature of manifest.json by the key whose id is in it (hex)

Values in CSV files that a spreadsheet could take for a formula begin with an apostrophe.
What is sealed and could not be opened any more is null. Other people are not in here.
"""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """An export that was asked for; ``used_at``: fetched, and not to be fetched again."""

    id: UUID
    asked_at: datetime
    expires_at: datetime
    used_at: datetime | None


class File(msgspec.Struct, frozen=True):
    """One file of the manifest."""

    path: str
    sha256: str
    rows: int | None


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is in the copy."""

    export: str
    subject: str
    organisations: tuple[str, ...]
    generated_at: datetime
    signed_by: str
    files: tuple[File, ...]


async def ask(work: Work, member_id: UUID) -> UUID:
    """A new export of the member, to be fetched once within 7 days; its id."""
    export_id = ids.fresh()
    await records.insert_export(work, export_id, member_id, EXPORT_DAYS)
    return export_id


async def of_member(work: Work, member_id: UUID) -> list[Line]:
    """The member's exports that are not over, newest first."""
    rows = await records.exports(work, member_id)
    return [Line(id=row[0], asked_at=row[1], expires_at=row[2], used_at=row[3]) for row in rows]


async def fetch(work: Work, member_id: UUID, export_id: UUID) -> None:
    """Marks the export as fetched. NotFound when it is not theirs, is over or was fetched before."""
    if not await records.use_export(work, member_id, export_id):
        raise NotFound("This copy was fetched already, or its week is over; ask for a new one.", code="export_over")


class Turns:
    """How many copies are made at once in this process."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._left = at_once

    def require(self) -> None:
        """Raises Unavailable ``export_busy`` when no more may begin now: ask before the copy counts as fetched."""
        if self._left <= 0:
            raise Unavailable("Other copies are being made; try again soon.", code="export_busy", retry_after_s=30)

    @contextlib.contextmanager
    def taken(self) -> Generator[None, None, None]:
        """One turn, for as long as a copy is made."""
        self._left -= 1
        try:
            yield
        finally:
            self._left += 1


async def sweep(work: Work) -> int:
    """Deletes exports whose week is over or that were fetched a day ago."""
    return await records.sweep_exports(work)


async def stream(
    pool: Pool,
    vault: Vault,
    export_id: UUID,
    member_id: UUID,
    *,
    objects: Objects | None = None,
    turns: Turns | None = None,
    paper: Paper | None = None,
) -> AsyncGenerator[bytes, None]:
    """The ZIP of an export, piece by piece as it is made; one page of a table, or one call, is in memory at a time.

    Without ``objects`` content that lies in the object store is left out; with ``paper`` documents are printed too.
    The audit entry and the fetching are the caller's to write first. pool: of ``ruxa_export``. Raises Unavailable when
    the object store is away: then the copy ends in the middle.
    """
    out = _Pipe()
    with (turns or Turns()).taken(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        files = _Files(archive)
        async with pool.work("export") as work:
            await work.run("SET LOCAL statement_timeout = 0")
            await work.run("SET LOCAL idle_in_transaction_session_timeout = 0")
            columns = {(one.schema, one.table, one.column): one for one in await inventory.read(work)}
            owned = [row[0] for row in await records.owned(work, member_id)]
            now = await records.now(work)
            files.add("README.txt", _README.encode())
            described: set[tuple[str, str]] = set()
            for organisation_id in (None, *owned):
                folder = "data" if organisation_id is None else f"organisation/{ids.text('org', organisation_id)}"
                kind = "member" if organisation_id is None else "organisation"
                for tie in _chosen(await records.ties(work, kind)):
                    table = _Table(work, vault, columns, export_id, tie, organisation_id, organisation_id or member_id)
                    if not await table.filled():
                        continue
                    name = f"{folder}/{tie.place}.{tie.tab}" + ("" if tie.action != "null" else f".{tie.col}")
                    with files.open(f"{name}.json") as file:
                        file.write(b"[")
                        async for rows in table.pages():
                            file.write(b",\n" if file.rows else b"\n")
                            file.write(b",\n".join(codec.encode(row) for row in rows))
                            file.rows += len(rows)
                            yield out.taken()
                        file.write(b"\n]\n")
                    with files.open(f"{name}.csv") as file:
                        async for rows in table.pages():
                            file.write(_csv(rows, head=not file.rows))
                            file.rows += len(rows)
                            yield out.taken()
                    if (tie.place, tie.tab) not in described:
                        described.add((tie.place, tie.tab))
                        files.add(f"schema/{tie.place}.{tie.tab}.json", codec.encode(_schema(columns, tie)))
                    if organisation_id is not None and f"{tie.place}.{tie.tab}" == items.TABLE:
                        async for rows in table.pages():
                            for row in rows:
                                await _content(work, vault, objects, files, f"{folder}/content", organisation_id, row)
                                yield out.taken()
                    if organisation_id is not None and f"{tie.place}.{tie.tab}" == kept.TABLE:
                        async for rows in table.pages():
                            for row in rows:
                                await _file(work, vault, objects, files, f"{folder}/files", organisation_id, row)
                                yield out.taken()
                    if organisation_id is not None and paper is not None and f"{tie.place}.{tie.tab}" == DOCUMENTS:
                        async for rows in table.pages():
                            for row in rows:
                                name, body = await paper(work, UUID(row["id"]))
                                files.add(f"{folder}/documents/{name}", body)
                                yield out.taken()
                    if organisation_id is not None and f"{tie.place}.{tie.tab}" == responses.TABLE:
                        async for rows in table.pages():
                            for row in rows:
                                await _response(work, vault, objects, files, f"{folder}/content", organisation_id, row)
                                yield out.taken()
            told = {one.name: one for (place, _, name), one in columns.items() if place == "audit" and "sealed" in name}
            files.add("schema/audit.json", codec.encode({"columns": _described(told)}))
            with files.open("data/audit.json") as file:
                file.write(b"[")
                async for acts in _acts(work, vault, member_id):
                    file.write(b",\n" if file.rows else b"\n")
                    file.write(b",\n".join(codec.encode(act) for act in acts))
                    file.rows += len(acts)
                    yield out.taken()
                file.write(b"\n]\n")
        signer = await vault.signing_key("report")
        manifest = codec.canonical(
            Manifest(
                export=ids.text("exp", export_id),
                subject=ids.text("mem", member_id),
                organisations=tuple(ids.text("org", one) for one in owned),
                generated_at=now.astimezone(UTC),
                signed_by=signer.id.hex(),
                files=tuple(files.made),
            )
        )
        archive.writestr("manifest.json", manifest)
        archive.writestr("manifest.sig", signer.sign(manifest).hex())
    yield out.taken()


async def _acts(work: Work, vault: Vault, member_id: UUID) -> AsyncGenerator[list[dict[str, Any]], None]:
    """What the log holds of what the person did, newest first; an entry whose day's key is gone only by its time."""
    below: UUID | None = None
    while entries := await reading.page(work, vault, "proof", actor_id=member_id, below=below, limit=ACTS_PAGE):
        yield [_act(one) for one in entries]
        below = entries[-1].id


def _act(one: reading.Entry) -> dict[str, Any]:
    row: dict[str, Any] = {"id": one.id.hex, "at": one.at, "leaf": one.seq, "act": one.act or None}
    if one.fields is None:
        return row
    fields = one.fields
    row |= {
        "purpose": fields.purpose or None,
        "outcome": fields.outcome,
        "request": f"req_{fields.request}" if fields.request else None,
    }
    # What was done with other people says whose it was.
    if one.act.partition(":")[0] in _OF_OTHERS:
        return row
    return row | {"object": fields.object or None, "details": dict(one.details)}


async def _content(
    work: Work,
    vault: Vault,
    objects: Objects | None,
    files: _Files,
    folder: str,
    organisation_id: UUID,
    row: Mapping[str, Any],
) -> None:
    """What one call sent and got, as files."""
    found = await items.find(work, UUID(row["id"]), organisation_id)
    if found is None:
        return
    for part in _PARTS:
        side = found.side(part)
        if side.state != "stored" or (side.object is not None and objects is None):
            continue
        body = await items.read(work, vault, objects, found, part, purpose=PURPOSE)
        if body is not None:
            files.add(f"{folder}/{ids.text('req', found.call_id)}-{part}", body.open(PURPOSE))


async def _response(
    work: Work,
    vault: Vault,
    objects: Objects | None,
    files: _Files,
    folder: str,
    organisation_id: UUID,
    row: Mapping[str, Any],
) -> None:
    """A response that is kept to go on from, as a file: the conversation up to it."""
    found = await responses.of_organisation(work, UUID(row["id"]), organisation_id)
    if found is None or (found.object is not None and objects is None):
        return
    state = await responses.read(vault, objects, found, purpose=PURPOSE)
    if state is not None:
        files.add(f"{folder}/{ids.text('req', found.id)}-response", state)


async def _file(
    work: Work,
    vault: Vault,
    objects: Objects | None,
    files: _Files,
    folder: str,
    organisation_id: UUID,
    row: Mapping[str, Any],
) -> None:
    """An uploaded file, byte for byte."""
    found = await kept.of_organisation(work, UUID(row["id"]), organisation_id)
    if found is None or (found.object is not None and objects is None):
        return
    with contextlib.suppress(NotFound):
        pieces = [piece async for piece in kept.pieces(vault, objects, found, purpose=PURPOSE)]
        files.add(f"{folder}/{ids.text('file', found.id)}", b"".join(pieces))


class _Table:
    """The exported rows of one tie, opened, page by page."""

    def __init__(
        self,
        work: Work,
        vault: Vault,
        columns: Mapping[tuple[str, str, str], Column],
        export_id: UUID,
        tie: Tie,
        organisation_id: UUID | None,
        subject: UUID,
    ) -> None:
        self._work = work
        self._vault = vault
        self._columns = columns
        self._export_id = export_id
        self._tie = tie
        self._organisation_id = organisation_id
        self._subject = subject
        heavy = any(
            (place, tab) == (tie.place, tie.tab)
            and one.declaration is not None
            and any(category.startswith("user.content") for category in one.declaration.categories)
            for (place, tab, _), one in columns.items()
        )
        self._page = CONTENT_PAGE if heavy else PAGE

    async def filled(self) -> bool:
        """Whether there is a row."""
        return bool(await self._rows(None, 1))

    async def pages(self) -> AsyncGenerator[list[dict[str, Any]], None]:
        """Rows with what is sealed in them opened."""
        after: UUID | None = None
        while rows := await self._rows(after, self._page):
            yield [await _opened(self._vault, self._columns, self._tie, self._subject, row) for row in rows]
            if "id" not in rows[-1] or len(rows) < self._page:
                break
            after = UUID(rows[-1]["id"])

    async def _rows(self, after: UUID | None, limit: int) -> list[dict[str, Any]]:
        return await records.export_rows(self._work, self._export_id, self._tie, self._organisation_id, after, limit)


class _File:
    """One file of the ZIP while it is written."""

    def __init__(self, inside: IO[bytes]) -> None:
        self._inside = inside
        self.hash = sha256()
        self.rows = 0

    def write(self, data: bytes) -> None:
        self.hash.update(data)
        self._inside.write(data)


class _Files:
    """What is in the ZIP so far, for the manifest."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.made: list[File] = []

    @contextlib.contextmanager
    def open(self, path: str) -> Generator[_File, None, None]:
        """A file with rows."""
        with self._archive.open(path, "w", force_zip64=True) as inside:
            file = _File(inside)
            yield file
        self.made.append(File(path, file.hash.hexdigest(), file.rows))

    def add(self, path: str, body: bytes) -> None:
        """A file that is there already."""
        self._archive.writestr(path, body)
        self.made.append(File(path, sha256(body).hexdigest(), None))


def _chosen(ties: Sequence[Tie]) -> list[Tie]:
    """One tie a table and way: the nearest, whose rows are the subject's; ids in waiting jobs are nobody's data."""
    chosen: dict[tuple[str, str, str], Tie] = {}
    for tie in sorted(ties, key=lambda tie: (tie.depth, tie.col)):
        if tie.action != "leave" and tie.place != "jobs":
            chosen.setdefault((tie.place, tie.tab, tie.col if tie.action == "null" else ""), tie)
    return sorted(chosen.values(), key=lambda tie: (tie.place, tie.tab, tie.col))


async def _opened(
    vault: Vault, columns: Mapping[tuple[str, str, str], Column], tie: Tie, subject: UUID, row: dict[str, Any]
) -> dict[str, Any]:
    """The row with its sealed columns opened; null where the key is gone."""
    found: dict[str, Any] = {}
    for name, value in row.items():
        declared = columns[tie.place, tie.tab, name].declaration
        if declared is None or declared.seal in ("none", "hash", "blind") or value is None:
            found[name] = value
            continue
        found[name] = await _value(vault, f"{tie.place}.{tie.tab}.{name}", declared, subject, row, value)
    return found


async def _value(
    vault: Vault, column: str, declared: Declaration, subject: UUID, row: Mapping[str, Any], value: str
) -> str | None:
    sealed = bytes.fromhex(value.removeprefix("\\x"))
    column, key = _sealed_for(column, row)
    if not sealed or key not in row:
        return None
    day = _day(row) if declared.seal in ("day", "dual") else None
    for year in _years(row) if declared.key_class == "billing" else (None,):
        try:
            opened = await vault.open_bytes(
                column, subject, UUID(row[key]), sealed, purpose=declared.purposes[0], day=day, year=year
            )
        except NotFound:
            continue
        return opened.open(declared.purposes[0]).decode("utf-8", "replace")
    return None


def _sealed_for(column: str, row: Mapping[str, Any]) -> tuple[str, str]:
    """The column for which a value was sealed, and the one that holds the id of its row."""
    if column == corrections.WISH_REASON:
        return corrections.reason_column(row["kind"]), "id"
    return column, "dispute_id" if column == _ANSWER else "id"


def _day(row: Mapping[str, Any]) -> date:
    """The day a row belongs to: the one it says it ends on, else when its id was made."""
    if isinstance(until := row.get("until"), str):
        return date.fromisoformat(until)
    return datetime.fromtimestamp(ids.unix_ms(UUID(row["id"])) / 1000, tz=UTC).date()


def _years(row: Mapping[str, Any]) -> tuple[int, ...]:
    """In which fiscal years a row may have been written: the one it says, else by when it was written or its id made.

    A fiscal year bears the calendar year in which it ends, so a day's is its calendar year or the next.
    """
    said = row.get("fiscal_year")
    if isinstance(said, int):
        return (said,)
    made_at = row.get("made_at")
    day = datetime.fromisoformat(made_at).astimezone(UTC).date() if isinstance(made_at, str) else _day(row)
    return day.year, day.year + 1


def _csv(rows: Sequence[Mapping[str, Any]], *, head: bool) -> bytes:
    """Flat, for spreadsheets: nothing in it is a formula."""
    text = io.StringIO()
    writer = csv.writer(text)
    if head:
        writer.writerow(list(rows[0]))
    for row in rows:
        writer.writerow([_cell(value) for value in row.values()])
    return text.getvalue().encode()


def _cell(value: object) -> str:
    if value is None:
        return ""
    shown = value if isinstance(value, str) else codec.encode(value).decode()
    return f"'{shown}" if isinstance(value, str) and shown.startswith(_FORMULA) else shown


def _schema(columns: Mapping[tuple[str, str, str], Column], tie: Tie) -> dict[str, Any]:
    """What the table's exported columns are."""
    shown = {
        name: column
        for (place, tab, name), column in columns.items()
        if (place, tab) == (tie.place, tie.tab) and column.declaration is not None and column.declaration.export
    }
    return {"table": f"{tie.place}.{tie.tab}", "columns": _described(shown)}


def _described(shown: Mapping[str, Column]) -> dict[str, Any]:
    """What columns are, as they are declared."""
    return {
        name: {
            "type": column.type,
            "categories": declared.categories,
            "purposes": dict(zip(declared.purposes, declared.bases, strict=True)),
            "kept": KEEPS[declared.keep],
        }
        for name, column in shown.items()
        if (declared := column.declaration) is not None
    }


class _Pipe(io.RawIOBase):
    """Where the ZIP is written, and taken from again: no file anywhere."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._pieces.append(bytes(data))
        return len(data)

    def taken(self) -> bytes:
        """What was written since the last time."""
        taken, self._pieces = b"".join(self._pieces), []
        return taken
