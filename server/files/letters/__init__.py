"""A note as a PDF: its words, its layout, and the letters it is written in."""
