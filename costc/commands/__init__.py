"""Commands of the command line, and the options that several share. Nothing heavy is imported before a command runs."""
