# tests: unit tests (one *.mk per subject in tests/unit), tools, and the runner.
include $(wildcard tests/unit/*.mk)
