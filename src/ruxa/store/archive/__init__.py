"""The archive: backups that erasure and retention reach, and the way back from them (D29, D30).

A backup is a set of sealed objects in a target and a manifest, written last. Three kinds: ``logical`` (pg_dump without
keys, sessions and days; each day of a day-sealed table an object of its own, under that day's key), ``base`` (the
cluster's files, to go forward from with the write-ahead log), and ``living`` (the keystore, under the epoch key, in a
target of its own). Files: ``target`` where objects lie, ``container`` how one is sealed, ``manifest`` what belongs
together, ``kit`` what opens it all, ``selection`` which table goes where; ``logical``, ``physical`` and ``living`` make
one, ``wal`` archives the log, ``unpack`` lays one back, ``expiry`` ends them.
"""
