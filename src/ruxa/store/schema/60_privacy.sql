-- Privacy: what keeps the policy's promises and shows that they are kept.

CREATE SCHEMA privacy;
REVOKE ALL ON SCHEMA privacy FROM PUBLIC;
GRANT USAGE ON SCHEMA privacy TO ruxa_gateway, ruxa_console, ruxa_worker, ruxa_operator;
