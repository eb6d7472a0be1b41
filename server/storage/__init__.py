"""The local store: drafts, approvals and the audit chain, sealed where they hold patient data."""
