# An S3 server for tests: PORT.
import sys

from moto.server import main

main(["-H", "127.0.0.1", "-p", sys.argv[1]])
