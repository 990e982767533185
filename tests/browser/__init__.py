"""Tests in a real browser: what they run against. The tests are in ``labextension/ui-tests``."""
