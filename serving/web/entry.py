"""How a person gets in: a key is given once, and kept by the browser in a cookie that no script and no other site uses.

The cookie is the key itself. It goes on as `X-Api-Key`, so that the door and the endpoints know one way in only.
"""

import re
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "gencv_key"
KEPT_S = 30 * 86_400
MAX_BYTES = 4_096
KEY = r"[A-Za-z0-9_.~+/=-]{1,200}"
"""What a key may be made of: nothing that a cookie or a header would have to quote."""
PATH = "/login"
SAID = {
    "": "",
    "unknown": "That key opens nothing here, or not any more.",
    "scope": "That key is not for this page: its scopes must name web.",
}
"""What the form says after its button."""
FORM = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>gencv: sign in</title><link rel="icon" href="data:,">
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;margin:15vh auto;padding:0 1rem;color:#1c1917}
input,button{font:inherit;width:100%;box-sizing:border-box;padding:.6rem;margin:.3rem 0;border:1px solid #a8a29e;
border-radius:.4rem}button{background:#1c1917;color:#fff;cursor:pointer}p{color:#b91c1c}
@media(prefers-color-scheme:dark){body{background:#1c1917;color:#fafaf9}button{background:#fafaf9;color:#1c1917}}</style>
<h1>gencv</h1><form method="post"><label for="key">API key</label>
<input id="key" name="key" type="password" autocomplete="current-password" required autofocus>
<button>Sign in</button></form><p role="alert">SAID</p>"""


class Entry:
    """ASGI middleware in front of the door: signs in and out, and gives the door the key of the cookie."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif scope["path"] == PATH:
            await (await signed_in(Request(scope, receive)))(scope, receive, send)
        elif scope["path"] == "/logout":
            await left()(scope, receive, send)
        else:
            await self.app(with_key(scope), receive, shown_in(scope, send))


async def signed_in(request: Request) -> Response:
    """Show the form, or take what it sent."""
    if request.method != "POST":
        return form(SAID.get(request.url.query, ""))
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            break
    key = parse_qs(body[:MAX_BYTES].decode("ascii", "replace")).get("key", [""])[0].strip()
    if not re.fullmatch(KEY, key):
        return form("That is no key.", 400)
    answer = RedirectResponse("/", 303)
    is_tls = request.url.scheme == "https" or request.headers.get("x-forwarded-proto") == "https"
    answer.set_cookie(COOKIE, key, KEPT_S, httponly=True, samesite="strict", secure=is_tls)
    return answer


def form(said: str, status: int = 200) -> Response:
    return HTMLResponse(FORM.replace("SAID", said), status)


def left() -> Response:
    answer = RedirectResponse(PATH, 303)
    answer.delete_cookie(COOKIE)
    return answer


def with_key(scope: Scope) -> Scope:
    """Return a scope whose `X-Api-Key` is the cookie's, unless it has one."""
    headers = Headers(scope=scope)
    try:
        key = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        key = None
    if key is None or not re.fullmatch(KEY, key.value) or "x-api-key" in headers or "authorization" in headers:
        return scope
    return {**scope, "headers": [*scope["headers"], (b"x-api-key", key.value.encode())]}


def shown_in(scope: Scope, send: Send) -> Send:
    """Turn the door's 401 and 403 for a browser that opens the page into the form, which says why."""
    headers = Headers(scope=scope)
    is_page = scope["method"] == "GET" and "text/html" in headers.get("accept", "")
    why = {401: "?unknown" if COOKIE in headers.get("cookie", "") else "", 403: "?scope"}

    async def sent(message: Message) -> None:
        if is_page and message["type"] == "http.response.start" and message["status"] in why:
            place = PATH + why[message["status"]]
            message = {**message, "status": 303, "headers": [*message["headers"]]}
            MutableHeaders(scope=message)["location"] = place
        await send(message)

    return sent
