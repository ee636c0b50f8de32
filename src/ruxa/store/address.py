"""Where the database is, and the URL of each login. Its repr shows no password."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict

from ruxa.kernel.errors import InvalidCall
from ruxa.store.logins import ADMIN, Login, Logins

DATABASE = "ruxa"
# Over a network that is cut in silence a statement would wait for ever; a unix socket knows at once.
_NETWORK = {"tcp_user_timeout": "10000", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}
_SYSTEM_DATABASES = ("postgres", "template0", "template1", "")


class Address:
    """A PostgreSQL, a database in it, and the secret from which the logins' passwords follow."""

    __slots__ = ("_given", "_logins", "_options", "database")

    def __init__(self, options: dict[str, str], database: str, logins: Logins, given: tuple[str, str] | None) -> None:
        self._options = options
        self._logins = logins
        self._given = given
        self.database = database

    @classmethod
    def at_socket(cls, directory: str, port: int, logins: Logins, database: str = DATABASE) -> Address:
        """The embedded cluster's unix socket."""
        return cls({"host": directory, "port": str(port)}, database, logins, None)

    @classmethod
    def of_url(cls, url: str, logins: Logins) -> Address:
        """A PostgreSQL somebody else runs: host and options of ``url``; its database when it names one of ours."""
        try:
            parts = conninfo_to_dict(url)
        except psycopg.Error:
            raise InvalidCall("The database URL cannot be read.", code="database_url") from None
        options = {**_NETWORK, **{name: str(value) for name, value in parts.items() if value is not None}}
        user, password, named = options.pop("user", ""), options.pop("password", ""), options.pop("dbname", "")
        if "host" not in options and "service" not in options:
            raise InvalidCall("The database URL names no host.", code="database_url")
        database = DATABASE if named in _SYSTEM_DATABASES else named
        return cls(options, database, logins, (user, password) if user else None)

    def __repr__(self) -> str:
        return f"<address {self._options.get('host', '?')}:{self._options.get('port', '5432')} {self.database}>"

    @property
    def logins(self) -> Logins:
        """The passwords' source."""
        return self._logins

    def url(self, login: Login) -> str:
        """The URL of one login, with its password."""
        return self._url(login, self._logins.password(login), self.database)

    def admin_url(self, database: str | None = None) -> str:
        """The URL that may create roles: the embedded cluster's own, or the one that was given."""
        user, password = self._given or (ADMIN, self._logins.password(ADMIN))
        return self._url(user, password, database or self.database)

    def given_url(self, database: str) -> str | None:
        """The given user's URL to another database of the same server; None for the embedded cluster."""
        return None if self._given is None else self._url(*self._given, database)

    def _url(self, user: str, password: str, database: str) -> str:
        credentials = quote(user, safe="") + (f":{quote(password, safe='')}" if password else "")
        return f"postgresql://{credentials}@/{quote(database, safe='')}?{urlencode(self._options, quote_via=quote)}"
