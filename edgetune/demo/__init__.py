"""The demo on the bundled model, and its preference part."""
