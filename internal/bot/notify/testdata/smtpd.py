"""A mail server for tests: prints its port, then each message it gets as a line of JSON.

smtpd.py CERTIFICATE KEY (starttls|tls) [MECHANISM TO LEAVE OUT]
"""
import asyncio, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult

certificate, key, security = sys.argv[1:4]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)


class Handler:
    async def handle_DATA(self, server, session, envelope):
        print(json.dumps({"from": envelope.mail_from, "to": envelope.rcpt_tos, "encrypted": session.ssl is not None or security == "tls",
                          "user": session.auth_data, "text": envelope.content.decode()}), flush=True)
        return "250 kept"


def authenticate(server, session, envelope, mechanism, data):
    good = (data.login, data.password) == (b"bot", b"s3cret word")
    return AuthResult(success=good, handled=False, auth_data=data.login.decode() + " by " + mechanism)


def session():
    options = dict(authenticator=authenticate, auth_required=True, auth_exclude_mechanism=sys.argv[4:])
    if security == "starttls":
        options.update(tls_context=context, require_starttls=True)
    else:
        options.update(auth_require_tls=False)
    return SMTP(Handler(), hostname="mail.test", loop=asyncio.get_running_loop(), **options)


async def main():
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0, ssl=context if security == "tls" else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until the test ends
    server.close()


asyncio.run(main())
