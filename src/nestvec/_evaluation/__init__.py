"""How many dimensions suffice: what is asked, how it is measured, and what is reported, as data.

Plain values and numpy; nothing here reads a collection, embeds a text or knows a database.
"""
