"""Pages that several screens build on."""
