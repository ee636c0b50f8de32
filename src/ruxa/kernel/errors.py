"""The one error tree; every error that leaves the house is one of these, rendered by the caller's dialect.

    RuxaError
      CallerError                the caller can mend it
        InvalidCall 400          Unauthenticated 401      InsufficientCredit 402   Forbidden 403
        NotFound 404             Conflict 409             TooLarge 413             Unsupported 422
        Limited 429
      UpstreamError              the provider's fault; decides retry, fallback, breaker
        UpstreamTimeout 504      UpstreamBusy 503         UpstreamRefused 4xx      UpstreamBroken 502
        NoUpstream 503
      HouseError                 our fault
        Unavailable 503          Broken 500

Two texts, always: ``public`` may reach anybody, ``detail`` reaches signals only and never a reply.
"""

from __future__ import annotations

from typing import ClassVar


class RuxaError(Exception):
    """Root of the tree.

    code: stable machine word (``model_not_found``); public: text for the caller; param: path of the offending
    field, if one; detail: private text for signals; retry_after_s: seconds, if waiting helps.
    """

    status: int = 500
    default_code: ClassVar[str] = "broken"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        public: str,
        *,
        code: str | None = None,
        param: str | None = None,
        detail: str = "",
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(public)
        self.public = public
        self.code = code or self.default_code
        self.param = param
        self.detail = detail
        self.retry_after_s = retry_after_s


class CallerError(RuxaError):
    """The caller can mend it."""

    status = 400
    default_code = "invalid_request"


class InvalidCall(CallerError):
    """The call is malformed: not JSON, wrong type, missing field."""


class Unauthenticated(CallerError):
    """No credential, or one that is wrong, expired or revoked."""

    status = 401
    default_code = "invalid_api_key"


class InsufficientCredit(CallerError):
    """The prepaid balance or a budget does not cover the call."""

    status = 402
    default_code = "insufficient_credits"


class Forbidden(CallerError):
    """The principal is known and may not do this."""

    status = 403
    default_code = "forbidden"


class NotFound(CallerError):
    """The thing does not exist, or the caller may not know that it does."""

    status = 404
    default_code = "not_found"


class Conflict(CallerError):
    """The call contradicts the present state."""

    status = 409
    default_code = "conflict"


class TooLarge(CallerError):
    """A bound of ``bounds`` is exceeded."""

    status = 413
    default_code = "request_too_large"


class Unsupported(CallerError):
    """Well-formed, but this model or route cannot do it."""

    status = 422
    default_code = "unsupported"


class Limited(CallerError):
    """A limit of the caller's own: requests, tokens, concurrency, attempts."""

    status = 429
    default_code = "rate_limit_exceeded"
    retryable = True


class UpstreamError(RuxaError):
    """The provider's fault."""

    status = 502
    default_code = "upstream_error"


class UpstreamTimeout(UpstreamError):
    """The provider did not answer within its deadline."""

    status = 504
    default_code = "upstream_timeout"


class UpstreamBusy(UpstreamError):
    """The provider is overloaded or limits us; waiting helps."""

    status = 503
    default_code = "upstream_busy"
    retryable = True


class UpstreamRefused(UpstreamError):
    """The provider refused this very call; its 4xx status is passed on."""

    default_code = "upstream_refused"

    def __init__(
        self,
        public: str,
        *,
        status: int,
        code: str | None = None,
        param: str | None = None,
        detail: str = "",
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(public, code=code, param=param, detail=detail, retry_after_s=retry_after_s)
        self.status = status


class UpstreamBroken(UpstreamError):
    """The provider's answer is not an answer: cut off, malformed, impossible."""

    default_code = "upstream_broken"


class NoUpstream(UpstreamError):
    """No target of the route can be tried now."""

    status = 503
    default_code = "no_upstream"
    retryable = True


class HouseError(RuxaError):
    """Our own fault."""


class Unavailable(HouseError):
    """A part of the house is away (database, journal) and is coming back."""

    status = 503
    default_code = "unavailable"
    retryable = True


class Broken(HouseError):
    """A programmer's error; the operator is told, the caller only learns the request id."""

    status = 500
    default_code = "internal_error"
