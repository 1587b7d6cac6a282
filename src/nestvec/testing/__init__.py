"""The test kit: conformance suites for adapters and embedders, and stand-ins for both."""
