"""The door for people: sign up, prove the address, sign in, choose a new password, come in by a link.

What a stranger learns here does not depend on whether an address is known: the answers are equal in content and, up to
``SAME_ANSWER_S``, in time. A password hash is computed outside any transaction; attempts are counted before they are
made. A new account needs both the mailbox and the password (or the browser) of the sign-up, so that confirming a
stranger's sign-up gives that stranger nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import date
from typing import Final
from uuid import UUID

import msgspec

from ruxa.access import (
    addresses,
    links,
    members,
    organisations,
    outbox,
    passwords,
    records,
    sessions,
    terms,
    throttle,
)
from ruxa.access.audit import log
from ruxa.access.authorize import Principal
from ruxa.access.passwords import Hasher
from ruxa.access.sessions import Opened, Session, Visitor
from ruxa.kernel import bounds, ids
from ruxa.kernel.clock import monotonic
from ruxa.kernel.errors import CallerError, Forbidden, InvalidCall, Unauthenticated
from ruxa.kernel.sealed import Sealed
from ruxa.kernel.signals import Sink
from ruxa.store.pool import Pool
from ruxa.store.vault import Vault
from ruxa.store.work import Work

PURPOSE: Final = "provide"
FIRST_NAMES: Final = {"en": "My organisation", "zh": "我的组织"}


class Entrance(msgspec.Struct, frozen=True, kw_only=True):
    """What the door needs; ``base_url`` is where links in mail lead (scheme, host, port)."""

    pool: Pool
    vault: Vault
    hasher: Hasher
    sink: Sink
    base_url: str


class SignUp(msgspec.Struct, frozen=True, kw_only=True):
    """The sign-up form, nothing more is asked. ``terms``: the version that was shown and agreed to."""

    email: Sealed[str]
    name: Sealed[str]
    password: Sealed[str]
    adult: bool
    terms: date | None
    locale: str = "en"


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """What a person who comes in by a link says first; only asked for while the account has no password."""

    name: Sealed[str]
    password: Sealed[str]
    adult: bool
    terms: date | None
    locale: str = "en"


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """A new session. ``new_organisation``: made just now for a verified newcomer (trial credit is due)."""

    session: Opened
    member_id: UUID
    new_organisation: UUID | None = None


async def sign_up(entrance: Entrance, form: SignUp, visitor: Visitor) -> Sealed[str]:
    """Begins a sign-up and mails the proof; gives the browser's ticket for ``verify``.

    Known address or new, the same answer. Raises Forbidden ``under_age`` before anything is looked at or stored;
    InvalidCall for a bad field; Limited when too much mail was asked for.
    """
    _check_age(form.adult)
    terms.check(form.terms)
    address, name = addresses.address(form.email), addresses.name(form.name)
    passwords.check(form.password, (address, name))
    index = addresses.index(entrance.vault, address)
    async with _same_answer():
        await _take(entrance, visitor, throttle.MAIL_ACCOUNT, throttle.MAIL_BLOCK, index)
        password_hash = await entrance.hasher.hash(form.password)
        member_id, ticket = ids.fresh(), links.draw()
        vault, locale = entrance.vault, terms.locale_of(form.locale)
        await vault.create_subject(member_id)
        email_sealed = await vault.seal(members.EMAIL_COLUMN, member_id, member_id, address.open(PURPOSE))
        name_sealed = await vault.seal(members.NAME_COLUMN, member_id, member_id, name.open(PURPOSE))
        async with entrance.pool.work("visitor") as work:
            index = await addresses.found(work, vault, address)
            new = await records.insert_sign_up(work, member_id, index, email_sealed, name_sealed, password_hash, locale)
            if new:
                await _ask_for_proof(work, entrance, member_id, form, ticket)
            else:
                await _sign_up_again(work, entrance, index, form, name, password_hash, ticket)
        if not new:
            await vault.destroy_subject(member_id, ("account",))
    return ticket


async def _ask_for_proof(work: Work, entrance: Entrance, member_id: UUID, form: SignUp, ticket: Sealed[str]) -> None:
    await terms.accept(work, member_id, form.terms, terms.locale_of(form.locale))
    await log.add(work, entrance.vault, None, "member:signed_up", object_id=member_id)
    secret = await links.make_ticketed(work, entrance.vault, member_id, ticket)
    url = links.url(entrance.base_url, "verify", secret)
    await outbox.put(work, entrance.vault, member_id, "verify", {"url": url})


async def _sign_up_again(
    work: Work,
    entrance: Entrance,
    index: bytes,
    form: SignUp,
    name: Sealed[str],
    password_hash: str,
    ticket: Sealed[str],
) -> None:
    """The address is taken. Proved: its owner is told. Not proved: the newest sign-up replaces what was said before."""
    known = await records.sign_up_again(work, index)
    assert known is not None
    member_id, verified, _ = known
    if verified:
        url = Sealed(entrance.base_url + "/sign-in")
        await outbox.put(work, entrance.vault, member_id, "known", {"url": url})
        return
    sealed = await entrance.vault.seal(members.NAME_COLUMN, member_id, member_id, name.open(PURPOSE))
    await records.set_adult(work, member_id)
    await records.set_name(work, member_id, sealed)
    await records.set_password(work, member_id, password_hash)
    await records.set_locale(work, member_id, terms.locale_of(form.locale))
    await records.end_links(work, member_id, "verify")
    await _ask_for_proof(work, entrance, member_id, form, ticket)


async def verify(
    entrance: Entrance,
    secret: Sealed[str],
    visitor: Visitor,
    *,
    ticket: Sealed[str] | None = None,
    password: Sealed[str] | None = None,
) -> SignedIn:
    """Proves the address and signs in, in the browser that signed up (its ticket) or with the password.

    Raises NotFound ``link_dead``; Unauthenticated ``password_needed`` when neither fits (the link stays good).
    """
    async with entrance.pool.work("visitor") as work:
        link = await links.look(work, entrance.vault, "verify", secret, ticket)
        if link is None:
            raise links.dead()
        known = await records.credentials(work, link.member_id)
        assert known is not None
    if not link.ticketed:
        await _require_password(entrance, link.member_id, known.password_hash, password, visitor)
    async with entrance.pool.work(_name(link.member_id)) as work:
        await links.use(work, entrance.vault, "verify", secret)
        now = await records.credentials(work, link.member_id, lock=True)
        # The sign-up may have been replaced while the password was hashed.
        if now is None or now.password_hash != known.password_hash:
            raise links.dead()
        await records.set_verified(work, link.member_id)
        await log.add(work, entrance.vault, _principal(link.member_id), "member:verified", object_id=link.member_id)
        return await _enter(work, entrance, link.member_id, visitor)


async def sign_in(entrance: Entrance, email: Sealed[str], password: Sealed[str], visitor: Visitor) -> SignedIn:
    """Signs in with address and password.

    Raises Unauthenticated ``sign_in_refused`` (unknown address, no or wrong password: one answer), Limited with the
    seconds to wait, Unavailable when too many passwords are being hashed; with the right password only: Forbidden
    ``member_suspended``, and Forbidden ``address_unproved`` (use ``ask_for_proof_again``).
    """
    try:
        address = addresses.address(email)
    except InvalidCall:
        raise _refused() from None
    index = addresses.index(entrance.vault, address)
    await _take(entrance, visitor, throttle.SIGN_IN_ACCOUNT, throttle.SIGN_IN_BLOCK, index)
    async with entrance.pool.work("visitor") as work:
        index = await addresses.found(work, entrance.vault, address)
        known = await records.credentials_by_email(work, index)
    right = await entrance.hasher.verify(known.password_hash if known else None, password)
    if known is None or known.password_hash is None or not right:
        entrance.sink.emit("sign_in.refused", "warning", code="wrong")
        raise _refused()
    if known.suspended or not known.verified:
        code = "member_suspended" if known.suspended else "address_unproved"
        entrance.sink.emit("sign_in.refused", "warning", code=code)
        text = "This account is suspended." if known.suspended else "Confirm your e-mail address first."
        raise Forbidden(text, code=code)
    fresh = await entrance.hasher.hash(password) if entrance.hasher.outdated(known.password_hash) else None
    async with entrance.pool.work(_name(known.id)) as work:
        await throttle.clear(work, entrance.vault, throttle.SIGN_IN_ACCOUNT, index)
        await throttle.give_back(work, entrance.vault, throttle.SIGN_IN_BLOCK, throttle.block_of(visitor))
        now = await records.credentials(work, known.id, lock=True)
        # Whoever changed the password meanwhile has ended all sessions; this one must not slip through after it.
        if now is None or now.password_hash != known.password_hash:
            raise _refused()
        if fresh is not None:
            await records.rehash_password(work, known.id, known.password_hash, fresh)
        return await _enter(work, entrance, known.id, visitor, alert=True)


async def ask_for_proof_again(
    entrance: Entrance, email: Sealed[str], password: Sealed[str], visitor: Visitor
) -> Sealed[str]:
    """Mails the proof of an unproved address again to who knows its password; a new ticket either way."""
    address = addresses.address(email)
    index, ticket = addresses.index(entrance.vault, address), links.draw()
    async with _same_answer():
        await _take(entrance, visitor, throttle.MAIL_ACCOUNT, throttle.MAIL_BLOCK, index)
        async with entrance.pool.work("visitor") as work:
            index = await addresses.found(work, entrance.vault, address)
            known = await records.credentials_by_email(work, index)
        right = await entrance.hasher.verify(known.password_hash if known else None, password)
        if known is not None and right and not known.verified and not known.suspended:
            async with entrance.pool.work("visitor") as work:
                secret = await links.make_ticketed(work, entrance.vault, known.id, ticket)
                url = links.url(entrance.base_url, "verify", secret)
                await outbox.put(work, entrance.vault, known.id, "verify", {"url": url})
    return ticket


async def ask_reset(entrance: Entrance, email: Sealed[str], visitor: Visitor) -> None:
    """Mails a link for a new password, if the address is known; the same answer if not.

    Who was invited and never came gets the invitation again instead.
    """
    address = addresses.address(email)
    index = addresses.index(entrance.vault, address)
    async with _same_answer():
        await _take(entrance, visitor, throttle.MAIL_ACCOUNT, throttle.MAIL_BLOCK, index)
        async with entrance.pool.work("visitor") as work:
            index = await addresses.found(work, entrance.vault, address)
            known = await records.credentials_by_email(work, index)
            if known is None or known.suspended:
                return
            if known.password_hash is not None:
                secret = await links.make(work, entrance.vault, "reset", known.id)
                url = links.url(entrance.base_url, "reset", secret)
                await outbox.put(work, entrance.vault, known.id, "reset", {"url": url})
                return
            await _invite_again(work, entrance, known.id)


async def _invite_again(work: Work, entrance: Entrance, member_id: UUID) -> None:
    for organisation_id, _, accepted in await records.memberships(work, member_id):
        if not accepted:
            organisation = await organisations.find(work, entrance.vault, organisation_id)
            secret = await links.make(work, entrance.vault, "invite", member_id, organisation_id=organisation_id)
            name = Sealed(organisation.name.open(PURPOSE))
            variables = {"organisation": name, "url": links.url(entrance.base_url, "invite", secret)}
            await outbox.put(work, entrance.vault, member_id, "invite", variables, organisation_id=organisation_id)


async def reset(entrance: Entrance, secret: Sealed[str], password: Sealed[str], visitor: Visitor) -> SignedIn:
    """Sets a new password by a mailed link, ends every session, and signs in: the mailbox is proved by it.

    Raises NotFound ``link_dead``; InvalidCall for a bad password (the link stays good).
    """
    async with entrance.pool.work("visitor") as work:
        link = await links.look(work, entrance.vault, "reset", secret)
        if link is None:
            raise links.dead()
        personal = await _personal(work, entrance.vault, link.member_id)
    passwords.check(password, personal)
    password_hash = await entrance.hasher.hash(password)
    async with entrance.pool.work(_name(link.member_id)) as work:
        await links.use(work, entrance.vault, "reset", secret)
        await records.credentials(work, link.member_id, lock=True)
        await records.set_verified(work, link.member_id)
        await _set_password(work, entrance, link.member_id, password_hash)
        await sessions.revoke_all(work, link.member_id)
        return await _enter(work, entrance, link.member_id, visitor)


async def accept(
    entrance: Entrance,
    kind: links.Kind,
    secret: Sealed[str],
    visitor: Visitor,
    *,
    arrival: Arrival | None = None,
    password: Sealed[str] | None = None,
    session: Session | None = None,
) -> SignedIn:
    """Comes in by an ``invite``, ``operator`` or ``sign_in`` link, and gets a new session.

    An account without a password needs ``arrival``; one with a password needs it, or a session of that member: whoever
    made the link must not become them. Only ``sign_in`` (the operator's own command line made it) needs neither.

    Raises NotFound ``link_dead``; and with the link still good: InvalidCall ``arrival_needed`` or for a bad field,
    Forbidden ``under_age``, Unauthenticated ``password_needed``.
    """
    assert kind in ("invite", "operator", "sign_in"), kind
    async with entrance.pool.work("visitor") as work:
        link = await links.look(work, entrance.vault, kind, secret)
        if link is None:
            raise links.dead()
        known = await records.credentials(work, link.member_id)
        assert known is not None
        personal = await _personal(work, entrance.vault, link.member_id)
    # A password that somebody else chose while the address was unproved counts for nothing.
    arrives = known.password_hash is None or not known.verified
    password_hash: str | None = None
    if arrives:
        if arrival is None:
            raise InvalidCall("Tell your name and choose a password.", code="arrival_needed")
        _check_age(arrival.adult)
        terms.check(arrival.terms)
        name = addresses.name(arrival.name)
        passwords.check(arrival.password, (*personal[:1], name))
        password_hash = await entrance.hasher.hash(arrival.password)
    elif kind != "sign_in" and (session is None or session.member_id != link.member_id):
        await _require_password(entrance, link.member_id, known.password_hash, password, visitor)
    async with entrance.pool.work(_name(link.member_id)) as work:
        await links.use(work, entrance.vault, kind, secret)
        now = await records.credentials(work, link.member_id, lock=True)
        if now is None or now.suspended or arrives != (now.password_hash is None or not now.verified):
            raise links.dead()
        if arrival is not None and password_hash is not None:
            await _arrive(work, entrance.vault, link.member_id, arrival, password_hash)
        await records.set_verified(work, link.member_id)
        if link.organisation_id is not None:
            if not await records.accept_membership(work, link.organisation_id, link.member_id):
                raise links.dead()
            principal = _principal(link.member_id)
            await log.add(
                work,
                entrance.vault,
                principal,
                "member:joined",
                organisation_id=link.organisation_id,
                object_id=link.member_id,
            )
        if session is not None and session.member_id == link.member_id:
            await sessions.revoke(work, link.member_id, session.id)
        return await _enter(work, entrance, link.member_id, visitor, found=kind != "operator")


async def _arrive(work: Work, vault: Vault, member_id: UUID, arrival: Arrival, password_hash: str) -> None:
    name = addresses.name(arrival.name)
    await records.set_name(
        work, member_id, await vault.seal(members.NAME_COLUMN, member_id, member_id, name.open(PURPOSE))
    )
    await records.set_locale(work, member_id, terms.locale_of(arrival.locale))
    await records.set_adult(work, member_id)
    await records.set_password(work, member_id, password_hash)
    await records.end_links(work, member_id, "verify")
    await terms.accept(work, member_id, arrival.terms, terms.locale_of(arrival.locale))


async def prove(entrance: Entrance, session: Session, password: Sealed[str], visitor: Visitor) -> Sealed[str]:
    """The member gives the password again before a grave act; the session gets a new token. Unauthenticated if not."""
    await _prove(entrance, session, password, visitor)
    async with entrance.pool.work(session.principal.text) as work:
        return await sessions.rotate(work, entrance.vault, session.id, proved=True)


async def change_password(
    entrance: Entrance, session: Session, old: Sealed[str], new: Sealed[str], visitor: Visitor
) -> Sealed[str]:
    """Changes the password, ends every other session, mails a notice; this session gets a new token."""
    async with entrance.pool.work(session.principal.text) as work:
        personal = await _personal(work, entrance.vault, session.member_id)
    passwords.check(new, personal)
    known = await _prove(entrance, session, old, visitor)
    password_hash = await entrance.hasher.hash(new)
    async with entrance.pool.work(session.principal.text) as work:
        now = await records.credentials(work, session.member_id, lock=True)
        if now is None or now.password_hash != known.password_hash:
            raise _refused()
        await _set_password(work, entrance, session.member_id, password_hash)
        await sessions.revoke_all(work, session.member_id, keep=session.id)
        return await sessions.rotate(work, entrance.vault, session.id, proved=True)


async def sign_out(entrance: Entrance, session: Session, *, everywhere: bool = False) -> None:
    """Ends this session, or all of the member's, with their playground keys."""
    async with entrance.pool.work(session.principal.text) as work:
        if everywhere:
            await sessions.revoke_all(work, session.member_id)
        else:
            await sessions.revoke(work, session.member_id, session.id)
        await log.add(work, entrance.vault, session.principal, "member:signed_out", object_id=session.id)


async def _prove(entrance: Entrance, session: Session, password: Sealed[str], visitor: Visitor) -> records.Credentials:
    subject = session.member_id.bytes
    await _take(entrance, visitor, throttle.SIGN_IN_ACCOUNT, throttle.SIGN_IN_BLOCK, subject)
    async with entrance.pool.work(session.principal.text) as work:
        known = await records.credentials(work, session.member_id)
    if known is None or not await entrance.hasher.verify(known.password_hash, password):
        raise _refused()
    async with entrance.pool.work(session.principal.text) as work:
        await throttle.clear(work, entrance.vault, throttle.SIGN_IN_ACCOUNT, subject)
        await throttle.give_back(work, entrance.vault, throttle.SIGN_IN_BLOCK, throttle.block_of(visitor))
    return known


async def _set_password(work: Work, entrance: Entrance, member_id: UUID, password_hash: str) -> None:
    await records.set_password(work, member_id, password_hash)
    await links.end_all(work, member_id)
    await log.add(work, entrance.vault, _principal(member_id), "member:password_changed", object_id=member_id)
    url = Sealed(entrance.base_url + "/reset")
    await outbox.put(work, entrance.vault, member_id, "password_changed", {"url": url})


async def _enter(
    work: Work, entrance: Entrance, member_id: UUID, visitor: Visitor, *, alert: bool = False, found: bool = True
) -> SignedIn:
    """Opens the session; founds an organisation for who is in none; tells of a browser that is new to the member."""
    vault, principal, organisation_id = entrance.vault, _principal(member_id), None
    if found and not await records.memberships(work, member_id):
        row = await records.member(work, member_id)
        assert row is not None
        if row.staff_role is None:
            organisation = await organisations.create(work, vault, Sealed(FIRST_NAMES[row.locale]))
            organisation_id = organisation.id
            await records.insert_membership(work, organisation_id, member_id, "owner", True)
            await log.add(work, vault, principal, "organisation:created", organisation_id=organisation_id)
    known = await sessions.of_member(work, vault, member_id) if alert else []
    session = await sessions.create(work, vault, member_id, visitor)
    await log.add(work, vault, principal, "member:signed_in", object_id=session.id)
    labels = {line.agent.open(sessions.PURPOSE) for line in known if line.agent is not None}
    if labels and visitor.agent not in labels:
        variables = {"url": Sealed(entrance.base_url + "/reset"), "agent": Sealed(visitor.agent)}
        await outbox.put(work, vault, member_id, "new_browser", variables)
    return SignedIn(session=session, member_id=member_id, new_organisation=organisation_id)


async def _require_password(
    entrance: Entrance, member_id: UUID, stored: str | None, password: Sealed[str] | None, visitor: Visitor
) -> None:
    if password is not None:
        await _take(entrance, visitor, throttle.SIGN_IN_ACCOUNT, throttle.SIGN_IN_BLOCK, member_id.bytes)
    if password is None or not await entrance.hasher.verify(stored, password):
        raise Unauthenticated("Enter the password of this account.", code="password_needed")


async def _take(
    entrance: Entrance, visitor: Visitor, account: throttle.Rule, block: throttle.Rule, subject: bytes
) -> None:
    async with entrance.pool.work("visitor") as work:
        wait_s = await throttle.take(work, entrance.vault, account, subject)
        if not wait_s:
            wait_s = await throttle.take(work, entrance.vault, block, throttle.block_of(visitor))
    if wait_s:
        entrance.sink.emit("sign_in.refused", "warning", code="throttled")
        raise throttle.refuse(wait_s)


async def _personal(work: Work, vault: Vault, member_id: UUID) -> tuple[Sealed[str], ...]:
    profile = await members.profile(work, vault, member_id)
    return (profile.email,) if profile.name is None else (profile.email, profile.name)


@contextlib.asynccontextmanager
async def _same_answer() -> AsyncGenerator[None, None]:
    """Answers no earlier than ``SAME_ANSWER_S`` after the question, however it went inside (refusals of ours too)."""
    since = monotonic()
    try:
        yield
    except CallerError:
        await asyncio.sleep(max(0.0, since + bounds.SAME_ANSWER_S - monotonic()))
        raise
    await asyncio.sleep(max(0.0, since + bounds.SAME_ANSWER_S - monotonic()))


def _check_age(adult: bool) -> None:
    if not adult:
        raise Forbidden("Ruxa is for people of 18 years or over.", code="under_age")


def _refused() -> Unauthenticated:
    return Unauthenticated("The address or the password is wrong.", code="sign_in_refused")


def _principal(member_id: UUID) -> Principal:
    return Principal(kind="member", id=member_id)


def _name(member_id: UUID) -> str:
    return _principal(member_id).text
