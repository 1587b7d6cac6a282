"""What stands between rules and plugins: sessions, which repeat and wait, and defaults for what backends lack."""
