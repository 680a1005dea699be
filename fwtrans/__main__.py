"""`python -m fwtrans`."""

from fwtrans.cli.app import main

if __name__ == "__main__":
    main()
