"""Who acts and what they may do: organisations, members, sessions, roles, keys, and the mail that proves an address.

Nouns: Principal, Member, Organisation, Key, Session, Role, Permission, Grant, Entry. ``members`` signs people up and
in, ``authorize`` is the one question every page and endpoint asks, ``grants`` is all the gateway knows of a key.

What holds here: names and addresses exist only sealed under their owner's key, secrets only as keyed hashes; whether
an address is known is answered the same way either way; a role grants what the table in ``roles`` says, nothing else.
"""
