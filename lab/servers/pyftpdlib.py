# An FTP server for tests: PORT FILES USER, and the password in the environment.
import os
import sys

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

port, files, user = sys.argv[1:4]
authorizer = DummyAuthorizer()
authorizer.add_user(user, os.environ["PASSWORD"], files, perm="elradfmwMT")
FTPHandler.authorizer = authorizer
FTPServer(("127.0.0.1", int(port)), FTPHandler).serve_forever()
