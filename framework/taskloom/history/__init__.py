"""The history of runs: what happened, also after the program has ended or was killed.

One thread writes it (`recorder`) to a database, SQLite or PostgreSQL; jobs and stops never wait for it. Other programs
read the database themselves (`reader`). Needs the extra `history`: nothing here is imported without it.
"""
