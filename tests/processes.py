"""The processes of this machine, for tests that kill some of them."""

from pathlib import Path


def descendants(pid: int, name: str) -> list[int]:
    """Return the processes under `pid` whose command line has `name` in it."""
    parents, names = {}, {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
                names[int(entry.name)] = (entry / "cmdline").read_bytes().decode(errors="replace")
                parents[int(entry.name)] = int(stat[1])
            except OSError:  # it has ended meanwhile
                continue

    def descends(child: int) -> bool:
        while child in parents:
            if child == pid:
                return True
            child = parents[child]
        return False

    return [child for child, line in names.items() if name in line and descends(child)]
