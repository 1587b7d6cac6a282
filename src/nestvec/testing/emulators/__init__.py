"""Emulators of services that can not be had on a test machine: real HTTP on 127.0.0.1, driven by the real SDKs."""
