"""The room that remembers: PostgreSQL, what lies sealed in it, and jobs for later.

Nouns
    Cluster    the PostgreSQL that came with pip, run as a child          embedded, binaries, namespace, strays, lock
    Address    where a PostgreSQL is, embedded or somebody else's         address, logins, database
    Pool       the connections of one login; Work, one transaction        pool, work, fault
    Plan       the present schema and the steps to it, behind the gate    migrate, catalog, schema/, steps/
    Column     what the live schema declares about each column            inventory (words: kernel/datamap)
    Vault      sealed columns, blind indexes, peppers, day keys           vault, keystore, epochs, files
    Notices    what other processes tell                                  notify
    Job        work for later, in the caller's transaction                jobs
    Partition  one day of a table                                         partitions

Invariants
    - No driver's error leaves this room: ``fault.of`` gives SQLSTATE and constraint, never a value, never chained.
    - No transaction of a migration commits while a column is undeclared.
    - One login a purpose; the gateway's reads nothing personal; only the keystore's sees keys, and those wrapped.
    - A key is destroyed in service at once and in every copy within 7 days, since its epoch's key is no part of a copy.
    - SQL takes its time from ``ruxa.now()``; jobs alone keep real time.

Way in: ``Cluster.initialise/start/ready`` or ``database.prepare``; ``database.setup``; ``migrate.migrate``;
``instance.settle``; then ``Pool.open`` and ``Vault.unlock`` in each process.
"""
