"""`python -m nestvec` is the command line."""

from nestvec._cli import main

if __name__ == "__main__":
    main(prog_name="nestvec")
