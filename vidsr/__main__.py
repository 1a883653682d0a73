"""`python -m vidsr` is the `vidsr` command, as torchrun wants it."""

from vidsr.cli import main

if __name__ == "__main__":
    main()
