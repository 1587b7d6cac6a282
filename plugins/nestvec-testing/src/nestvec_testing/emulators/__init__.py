"""Emulators of services that cannot be had on a test machine: real HTTP on 127.0.0.1, driven by the real SDKs.

What all of them share is here: `Emulation` (server, faults and journal of one emulator), the `faults` that can be
planned, `Storm` (faults at random), the `journal` and the `server`. Needs the extra `nestvec-testing[emulators]`.
"""
