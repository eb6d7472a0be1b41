"""Writing to the record: drafts, approval, filing exactly once, and the audit of all of it."""
