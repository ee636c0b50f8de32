"""The console's side of ``/api/v1``: everything the pages do, as JSON, by API key with scope or by session.

``router.handlers`` lists the routes; ``caller`` says who calls and what they may; ``openapi`` publishes the description
and renders errors. Answers are the structs beside the routes, so the description cannot drift from them.
"""
