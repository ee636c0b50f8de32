"""Every limit of the house by name and unit. Settings may lower what is a setting; nothing raises past these."""

from __future__ import annotations

# The door (bytes, seconds, counts)
BODY_BYTES_MAX = 32 * 1024 * 1024
HEADER_BYTES_MAX = 64 * 1024
HEADERS_MAX = 100
URL_BYTES_MAX = 8 * 1024
HEADER_TIMEOUT_S = 15
BODY_TIMEOUT_S = 60
IDLE_TIMEOUT_S = 75
PIPELINED_MAX = 16  # requests of one connection begun in one turn of the loop; the rest waits unread
JSON_DEPTH_MAX = 200
FORM_PARTS_MAX = 64  # of a multipart/form-data body
HELD_BYTES_MAX = 64 * 1024  # of a next request, kept while an answer is pending; then reading stops
BODY_BYTES_PER_S_MIN = 8 * 1024  # a body may take BODY_TIMEOUT_S plus its bytes at this pace
BODIES_BYTES_MAX = 512 * 1024 * 1024  # of all bodies over SMALL_BODY_BYTES in one process
SMALL_BODY_BYTES = 64 * 1024  # read before anybody looks at the key
SEND_TIMEOUT_S = 60  # a caller that takes nothing of its answer for so long is cut off
LINGER_S = 5  # an answer given before its request was read: how long the rest is swallowed
CONNECTIONS_MAX = 10_000

# An upstream (seconds, counts)
CONNECT_TIMEOUT_S = 5
FIRST_TOKEN_TIMEOUT_S = 120
SLOW_FIRST_TOKEN_S = 60  # a stream that means nothing for so long counts as a failure of its target
BETWEEN_TOKENS_TIMEOUT_S = 60
CALL_TIMEOUT_S = 600
CANCEL_WITHIN_S = 1
LEFT_READ_S = 2  # a caller left as the provider was ending: how long its last figures are waited for
ABANDONED_CALLS_MAX = 20  # calls of one organisation in ABANDONED_WINDOW_S that were left and had to be estimated
ABANDONED_WINDOW_S = 3600
COMMIT_AFTER_S = 10
IDLE_UPSTREAM_CONNECTIONS = 128
IDLE_UPSTREAM_S = 55
UPSTREAM_CONNECTIONS_MAX = 2048
RESOLVED_S = 30
ANSWER_BYTES_MAX = 64 * 1024 * 1024
ATTEMPTS_MAX = 3

# What is fetched for a provider that gets no URLs (bytes, seconds, counts)
FETCH_BYTES_MAX = 20 * 1024 * 1024  # of one URL
FETCH_CALL_BYTES_MAX = 32 * 1024 * 1024  # of all URLs of one call
FETCH_URLS_MAX = 20  # of one call
FETCH_TIMEOUT_S = 15

# Routes (counts, characters)
ROUTE_TARGETS_MAX = 16
FALLBACK_MODELS_MAX = 8

# Answers kept for who asks the same again (bytes, seconds, characters)
REPEAT_BYTES_MAX = 1024 * 1024
CACHE_S_DEFAULT = 3600
CACHE_S_MAX = 24 * 3600
KEY_ROUTES_MAX = 32
MODEL_NAME_CHARS_MAX = 200
IDEMPOTENCY_KEY_CHARS_MAX = 255

# Signatures of tool calls, kept in memory for clients that lose them (counts, bytes; of one gateway worker)
MARKS_MAX = 20_000
MARKS_BYTES_MAX = 32 * 1024 * 1024

# Money (micros, seconds)
LEASE_MICROS_MAX = 5_000_000
LEASE_TTL_S = 30
LEASE_GRACE_S = 900
OUTPUT_TOKENS_DEFAULT = 4096
FIGURE_OVER_HOLD_PERCENT = 5  # a provider may count so much more than was held before it alarms (D21)

# Payment processors (counts, pages, days)
EVENT_PAGES_MAX = 100  # of a processor's list of events in one look; a fuller time is read in shorter ones
EVENTS_LOOK_DAYS = 29  # as far back as a list of events is read: processors keep it for 30
REPORT_PAGES_MAX = 1000  # of a processor's books of one day
CERTIFICATE_LOOKS_PER_MINUTE = 20  # for certificates of PayPal's that no webhook was signed with before
WEBHOOK_QUESTIONS_PER_MINUTE = 60  # whether PayPal sent a webhook, with ``webhook_check = "api"``

# Keys and people
KEY_CACHE_MAX = 10_000
KEY_UNKNOWN_REMEMBERED_S = 2
REVOKED_WITHIN_S = 2
# Acts of one person or key that are written to the audit log, and copies of its checkpoint that an organisation reports
ACTS_BURST = 1_000
ACTS_PER_MINUTE = 60
ACKNOWLEDGEMENTS_BURST = 20
ACKNOWLEDGEMENTS_PER_HOUR = 6
LINK_TTL_S = 30 * 60
SIGN_UP_TTL_H = 48
SESSION_IDLE_DAYS = 30
SESSION_DAYS_MAX = 90
STAFF_SESSION_H = 12
PASSWORD_CHARS_MIN = 12
PASSWORD_CHARS_MAX = 256
PLAYGROUND_KEY_S = 15 * 60
ROTATION_DAYS_MAX = 30
KEY_MODELS_MAX = 200
LIMIT_MAX = 2**53 - 1
SECRET_BYTES_MIN = 16
SECRET_BYTES_MAX = 512
NAME_CHARS_MAX = 100
EMAIL_CHARS_MAX = 254
PAGE_ROWS_MAX = 200
HASHES_AT_ONCE = 2
HASHES_WAITING_MAX = 64
SAME_ANSWER_S = 0.4
MAIL_DAYS = 7
MAIL_ATTEMPTS_MAX = 8

# Retention in service (days; decision D30)
USAGE_DAYS = 83
CONTENT_DAYS = 23
EPOCH_DAYS = 7

# Backups (days, hours, minutes): a logical one opens for 28 days, so that after 35 no copy of it does; base backups and
# the log go a day before their week is over, since the job that removes them may be late
BACKUP_DAYS = 28
BASE_BACKUP_DAYS = 6
BACKUP_EVERY_H = 24
BACKUP_ALARM_H = 26
KEYS_EXPORT_KEPT = 3
KEYS_EXPORT_ALARM_H = 3
DRILL_EVERY_DAYS = 7
DRILL_ALARM_DAYS = 30
LOG_EVERY_M = 5

# Stored content (bytes, seconds, counts)
CONTENT_BYTES_MAX = 10 * 1024 * 1024  # of a request or an answer; a larger one is not stored, and the call says so
CONTENT_INLINE_BYTES = 64 * 1024  # up to here sealed in the row, above in object storage
CONTENT_WAITING_BYTES_MAX = 64 * 1024 * 1024  # of one gateway worker: under way or waiting
CONTENT_WAITING_MAX = 10_000  # calls, as above
CONTENT_ERROR_BYTES = 64 * 1024  # of a provider's own error body, for the operator
CONTENT_SHOWN_BYTES = 64 * 1024  # of a side on the call's page; the rest by download
CONTENT_JSON_BYTES = 1024 * 1024  # of a side within an answer of the API; a larger one is fetched by its own path
SEALED_CHUNK_BYTES = 64 * 1024
OBJECT_TIMEOUT_S = 30

# Files and batches (bytes, counts, hours)
FILE_BYTES_MAX = 32 * 1024 * 1024  # of one uploaded file; the door's own bound counts too
FILES_MAX = 10_000  # of one organisation
UPLOAD_PIECE_BYTES_MIN = 1024 * 1024  # of an upload in pieces, but for the last one
UPLOAD_PIECES_MAX = 32
UPLOAD_LIFE_S = 3600  # an upload that is not ended by then is gone
FILE_LIFE_S_MIN = 3600  # the shortest life that a caller may choose
BATCH_LINES_MAX = 50_000
BATCH_LINE_BYTES_MAX = 4 * 1024 * 1024
BATCH_HOURS = 24
BATCH_CONCURRENCY = 8  # calls of one batch at once; the key's own limit counts too
BATCHES_AT_ONCE = 2  # of one gateway worker
BATCHES_WAITING_MAX = 100  # of one organisation

# Stopping (seconds)
DRAIN_S = 30
SECOND_SIGNAL_AFTER_S = 2
