"""The bodies of the commands; ``cli`` loads each when it is called."""
