# SPDX-License-Identifier: MIT
"""smtp_server.py CERTIFICATE KEY USER PASSWORD FILE: an SMTP server on a port of its own, which it prints; it wants
STARTTLS, then AUTH, and appends each mail to FILE as a line of JSON. Run by a Python that has aiosmtpd."""
import asyncio
import json
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

CERT, KEY, USER, PASSWORD, FILE = sys.argv[1:]


class Handler:
    async def handle_DATA(self, _server, session, envelope):
        with open(FILE, "a", encoding="utf-8") as f:
            f.write(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "tls": session.ssl is not None,
                                "text": envelope.content.decode()}) + "\n")
        return "250 OK"

    async def handle_RCPT(self, _server, _session, envelope, address, _options):
        if address.startswith("nobody@"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"


def authenticate(_server, _session, _envelope, _mechanism, data):
    right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)  # not handled: the server says 535 itself


async def main():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERT, KEY)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(Handler(), hostname="localhost", require_starttls=True, tls_context=context, auth_required=True,
                     authenticator=authenticate), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
