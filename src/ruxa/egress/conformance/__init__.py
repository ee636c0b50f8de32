"""The conformance kit: public cases of what must leave a gateway and come back, for any gateway.

``case`` reads the files in ``cases/`` (the format is documented there), ``runner`` sends each case's request raw to the
gateway while ``sandbox/script`` plays its providers, ``look`` compares. A case names no product: what it expects are
facts of the vendors' wire formats.
"""
