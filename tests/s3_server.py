"""A small server that speaks S3: real requests, real signatures (AWS4-HMAC-SHA256, checked), objects in memory.

It knows what an object store must know here: put, multipart upload, get, head, list (version 2), delete one and many.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from xml.sax.saxutils import escape

ACCESS_KEY = "test-access"
SECRET_KEY = "test-secret-canary-5e31"
BUCKET = "kept-here"
_AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})")


class S3Server:
    """``objects``: name -> bytes; ``log``: method and path of every request; ``redirect``: answer with a 307 there;
    ``broken``: answer 503 to everything."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.log: list[tuple[str, str]] = []
        self.refused: list[str] = []
        self.redirect: str | None = None
        self.broken = False
        owner = self

        class Handler(_Handler):
            server_owner = owner

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def serving() -> Iterator[S3Server]:
    server = S3Server()
    try:
        yield server
    finally:
        server.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_owner: S3Server

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""

    def _any(self) -> None:
        owner = self.server_owner
        body = self._body()
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        owner.log.append((self.command, self.path))
        if owner.redirect is not None:
            self._send(307, b"", {"location": owner.redirect})
            return
        if owner.broken:
            self._send(503, b"<Error><Code>SlowDown</Code></Error>")
            return
        wrong = self._signed_wrong(parts.path, query)
        if wrong:
            owner.refused.append(wrong)
            self._send(403, f"<Error><Code>SignatureDoesNotMatch</Code><Message>{wrong}</Message></Error>".encode())
            return
        bucket, _, name = unquote(parts.path).lstrip("/").partition("/")
        if bucket != BUCKET:
            self._send(404, b"<Error><Code>NoSuchBucket</Code></Error>")
            return
        getattr(self, f"_{self.command.lower()}")(name, query, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding") == "chunked":
            pieces: list[bytes] = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                pieces.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(pieces)
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def _signed_wrong(self, path: str, query: dict[str, str]) -> str:
        """Why the signature is none; empty when it is right (AWS Signature Version 4)."""
        found = _AUTHORIZATION.fullmatch(self.headers.get("authorization", ""))
        if not found:
            return "no signature"
        credential, names, signature = found.groups()
        access, day, region, service, last = credential.split("/")
        if access != ACCESS_KEY:
            return "another access key"
        headers = "".join(f"{name}:{' '.join((self.headers.get(name) or '').split())}\n" for name in names.split(";"))
        asked = "&".join(
            f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in sorted(query.items())
        )
        canonical = "\n".join(
            [self.command, path, asked, headers, names, self.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")]
        )
        scope = f"{day}/{region}/{service}/{last}"
        text = "\n".join(
            [
                "AWS4-HMAC-SHA256",
                self.headers.get("x-amz-date", ""),
                scope,
                hashlib.sha256(canonical.encode()).hexdigest(),
            ]
        )
        key = f"AWS4{SECRET_KEY}".encode()
        for word in (day, region, service, last):
            key = hmac.digest(key, word.encode(), "sha256")
        return "" if hmac.digest(key, text.encode(), "sha256").hex() == signature else "another signature"

    def _put(self, name: str, query: dict[str, str], body: bytes) -> None:
        if "partNumber" in query:
            self.server_owner.uploads[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self.server_owner.objects[name] = body
        self._send(200, b"", {"etag": _etag(body)})

    def _post(self, name: str, query: dict[str, str], body: bytes) -> None:
        owner = self.server_owner
        if "uploads" in query:
            upload = f"u{len(owner.uploads)}-{time.monotonic_ns()}"
            owner.uploads[upload] = {}
            self._send(
                200,
                f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>".encode(),
            )
        elif "uploadId" in query:
            parts = owner.uploads.pop(query["uploadId"])
            whole = b"".join(parts[number] for number in sorted(parts))
            owner.objects[name] = whole
            self._send(
                200,
                f"<CompleteMultipartUploadResult><ETag>{escape(_etag(whole))}</ETag></CompleteMultipartUploadResult>".encode(),
            )
        else:
            assert "delete" in query
            gone = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for one in gone:
                owner.objects.pop(one, None)
            told = "".join(f"<Deleted><Key>{one}</Key></Deleted>" for one in gone)
            self._send(200, f"<DeleteResult>{told}</DeleteResult>".encode())

    def _get(self, name: str, query: dict[str, str], body: bytes) -> None:
        if query.get("list-type") == "2":
            self._list(query)
        elif name in self.server_owner.objects:
            found = self.server_owner.objects[name]
            self._send(200, found, {"etag": _etag(found), "last-modified": self.date_time_string()})
        else:
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>")

    _head = _get

    def _list(self, query: dict[str, str]) -> None:
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        names = sorted(name for name in self.server_owner.objects if name.startswith(prefix))
        folders: list[str] = []
        if delimiter:
            cut = [
                prefix + name[len(prefix) :].partition(delimiter)[0] + delimiter
                for name in names
                if delimiter in name[len(prefix) :]
            ]
            folders = sorted(set(cut))
            names = [name for name in names if delimiter not in name[len(prefix) :]]
        contents = "".join(
            f"<Contents><Key>{name}</Key><LastModified>2026-11-24T00:00:00.000Z</LastModified>"
            f"<ETag>{escape(_etag(b''))}</ETag><Size>{len(self.server_owner.objects[name])}</Size></Contents>"
            for name in names
        )
        common = "".join(f"<CommonPrefixes><Prefix>{folder}</Prefix></CommonPrefixes>" for folder in folders)
        self._send(
            200, f"<ListBucketResult><IsTruncated>false</IsTruncated>{contents}{common}</ListBucketResult>".encode()
        )

    def _delete(self, name: str, query: dict[str, str], body: bytes) -> None:
        if "uploadId" in query:
            self.server_owner.uploads.pop(query["uploadId"], None)
        else:
            self.server_owner.objects.pop(name, None)
        self._send(204, b"")

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
