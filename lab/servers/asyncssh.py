# An SFTP server for tests: PORT FILES USER KEY, and the password in the environment.
import asyncio
import os
import sys

import asyncssh

port, files, user, key = sys.argv[1:5]


class Server(asyncssh.SSHServer):
    def password_auth_supported(self):
        return True

    def validate_password(self, name, password):
        return name == user and password == os.environ["PASSWORD"]


class Files(asyncssh.SFTPServer):
    def __init__(self, channel):
        super().__init__(channel, chroot=files)


async def main():
    await asyncssh.listen("127.0.0.1", int(port), server_host_keys=[key], server_factory=Server, sftp_factory=Files)
    await asyncio.Event().wait()


asyncio.run(main())
