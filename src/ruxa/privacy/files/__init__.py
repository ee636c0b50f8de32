"""Files that callers upload, and batches of calls over them: sealed as content, for an organisation, until a day."""
