"""The review page: where a person looks at drafts on this machine, and approves them."""
