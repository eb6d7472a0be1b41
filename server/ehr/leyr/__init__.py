"""The Leyr client, one module per upstream resource."""
