"""The MCP server: everything that is not a tool."""

VERSION = "0.1.0"
