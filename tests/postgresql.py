"""A PostgreSQL server for tests: Debian's binaries, a folder of its own, a socket in it, no network, no service."""

import os
import pwd
import shutil
import subprocess
import tempfile
import uuid
from pathlib import Path
from typing import Any, Self

QUICK = "-c fsync=off -c full_page_writes=off -c synchronous_commit=off -c listen_addresses="
"""Of a server whose data nobody needs once it has stopped."""


def binaries() -> Path | None:
    """Return the folder of initdb and pg_ctl, the newest; Debian keeps them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    path = shutil.which("initdb") or (str(found[-1]) if found else "")
    return Path(path).resolve().parent if path else None


class Server:
    """Runs as long as it is entered. It does not run as root, so a root's tests start it as another user."""

    def __enter__(self) -> Self:
        folder = binaries()
        assert folder is not None
        self.binaries = folder
        self.folder = Path(tempfile.mkdtemp(prefix="gencv-pg-", dir="/tmp"))  # a socket's path is short
        self.how: dict[str, Any] = {"cwd": "/", "check": True, "capture_output": True}
        if os.getuid() == 0:
            user = next(one for one in map(user_named, ("postgres", "nobody")) if one)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self.how |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        try:
            self.run("initdb", "-D", "data", "-U", "gencv", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
            self.run("pg_ctl", "-D", "data", "-w", "-o", f"{QUICK} -k {self.folder}", "-l", "log", "start")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        try:
            if (self.folder / "data" / "postmaster.pid").exists():
                self.run("pg_ctl", "-D", "data", "-m", "immediate", "stop")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, name: str, *words: str) -> None:
        places = [str(self.folder / word) if word in ("data", "log") else word for word in words]
        subprocess.run([str(self.binaries / name), *places], **self.how)

    def new_database(self) -> str:
        """Make an empty database, and return its URL."""
        name = f"gencv_{uuid.uuid4().hex[:12]}"
        self.run("createdb", "-h", str(self.folder), "-U", "gencv", "-T", "template0", name)
        return f"postgresql://gencv@/{name}?host={self.folder}"


def user_named(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None
