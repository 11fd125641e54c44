"""What of Gradio is served: the few routes that the page itself asks for, to nobody's page but this one.

Gradio brings more than a page needs: a proxy for addresses elsewhere, states that are kept on the disk under a link, an
API of every event, the history of runs. And its page names pictures and sites of its maker's.
"""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.door import is_foreign

SERVED = re.compile(
    r"/(login|logout|favicon\.ico|theme\.css|manifest\.json|healthz|readyz|(assets|static|svelte)/.*"
    r"|gradio_api/(upload|upload_progress|cancel|startup-events|queue/(join|data)|heartbeat/\w+|file=/.*))?"
)
POLICY = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
"""Gradio writes scripts into its page and makes functions of templates; what counts is that all of it is from here."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "permissions-policy": "geolocation=(), microphone=()",
}
KEPT = {"cache-control": "private, max-age=31536000, immutable"}
ADVERTISING = re.compile(rb'<meta\s+(property="og:|name="twitter:)[^>]*>\s*')


class Fence:
    """ASGI middleware: 404 for routes that the page does not need, 403 for what other sites' pages send."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        app = self.app
        if not SERVED.fullmatch(scope["path"]):
            app = PlainTextResponse("There is nothing here.", 404)
        elif is_foreign(scope, Headers(scope=scope)):
            app = PlainTextResponse("This came from another site's page.", 403)
        kept = scope["path"].startswith("/assets/")  # whose names change with what is in them
        await app(scope, receive, dressed(send) if scope["path"] == "/" else guarded(send, KEPT if kept else {}))


def guarded(send: Send, more: dict[str, str]) -> Send:
    """Put HEADERS, and more, onto an answer."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"]]}
            MutableHeaders(scope=message).update(HEADERS | more)
        await send(message)

    return sent


def dressed(send: Send) -> Send:
    """The same, and take the advertising out of the page, which is one message or few."""
    start: Message = {}
    body = b""
    send = guarded(send, {})

    async def sent(message: Message) -> None:
        nonlocal start, body
        if message["type"] == "http.response.start":
            start = message
            return
        body += message.get("body", b"")
        if message.get("more_body"):
            return
        page = ADVERTISING.sub(b"", body)
        start = {**start, "headers": [*start["headers"]]}
        MutableHeaders(scope=start)["content-length"] = str(len(page))
        await send(start)
        await send({"type": "http.response.body", "body": page})

    return sent
