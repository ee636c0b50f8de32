"""Retention: everything stored has a class and a limit, and what is over its limit is destroyed, every hour.

``stores`` names each store with its class; ``engine`` runs plan, audit entry, destruction, proof, audit entry;
``watch`` stops it while the clock cannot be believed; ``holds`` keep what must not go yet, under keys of their own.
"""
