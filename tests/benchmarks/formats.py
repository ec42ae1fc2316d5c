"""Rows a second of CPU time and peak memory of reading each format, beside a generic CSV of the same length.

``python -m tests.benchmarks.formats [ROWS [NAME …]]``: the first row of each sample is repeated under new
names. Each export is surveyed and read, as ``plan`` does it, in a process of its own.
"""

from __future__ import annotations

import csv
import io
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import openpyxl
import xlsxwriter

from worker.model import Options
from worker.roster import open_roster

PBX = Path(__file__).parents[2] / "samples" / "pbx"
ROWS = 200_000
SLASHED = "fusionpbx-slashed"
"""An export in which each row has a backslash before a quote: PHP's CSV at its slowest."""
USER = {
    "freepbx": "extension", "freepbx-12": "extension", "fusionpbx": "extension", SLASHED: "extension",
    "3cx": "AuthID", "yeastar": "Registration Name", "wazo": "sip_username", "grandstream": "Extension",
    "switchvox": "ext", "vodia": "#alias", "kamailio": "username", "opensips": "username",
    "mysql-batch": "username",
}  # fmt: skip


ENTRIES = {
    "sip.conf": "[u@@]\ntype=friend\nhost=dynamic\ncontext=internal\nsecret=Kestrel-@@x\n",
    "pjsip.conf": "[u@@]\ntype=endpoint\nauth=u@@\naors=u@@\n[u@@]\ntype=auth\nusername=u@@\n"
    "password=Kestrel-@@x\n[u@@]\ntype=aor\nmax_contacts=1\n",
    "directory.xml": '<user id="u@@"><params><param name="password" value="Kestrel-@@x"/></params></user>\n',
    "subscriber.json": '{"id": @@, "username": "u@@", "domain": "a.example", "password": "Kestrel-@@x", '
    '"ha1": "", "ha1b": ""},\n',
    "dbtext": "@@:u@@:a.example:Kestrel-@@x::\n",
}
"""An entry of each export that is no table."""
AROUND = {
    "directory.xml": ('<domain name="a.example">\n', "</domain>\n"),
    "subscriber.json": ("[", '{"id": -1, "username": "last", "password": "Kestrel-lastx"}]\n'),
    "dbtext": (
        "id(int,auto) username(string) domain(string) password(string) ha1(string) ha1b(string)\n", "",
    ),
}  # fmt: skip
SHARED = "shared.xlsx"
"""A workbook as Excel writes it: its cells refer to a table of the texts."""
BOOKS = ("inline.xlsx", SHARED, "staff.ods")


def main() -> None:
    """Measure all formats, or read the file given with ``--read`` and print its figures."""
    if sys.argv[1:2] == ["--read"]:
        print(*measure(sys.argv[2]))
        return
    if sys.argv[1:2] == ["--book"]:
        write_book(Path(sys.argv[2]), int(sys.argv[3]))
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    print(f"{rows:,} rows   rows/s (CPU)  of generic   peak MiB")
    generic = 0.0
    with tempfile.TemporaryDirectory() as folder:
        for name in ("generic", *(sys.argv[2:] or (*USER, *ENTRIES, *BOOKS))):
            path = Path(folder, name if "." in name or name in ENTRIES else f"{name}.csv")
            write(path, name, rows)
            command = [sys.executable, "-m", "tests.benchmarks.formats", "--read", str(path)]
            found, speed, peak = subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.split()
            generic = generic or float(speed)
            print(
                f"{name:18} {float(speed):9,.0f} {float(speed) / generic:9.0%} {float(peak):9.1f}   ({found})"
            )
            path.unlink()


def write(path: Path, name: str, rows: int) -> None:
    """Write an export with that many rows, as a stream: a child's peak counts its parent's memory."""
    if name in BOOKS:
        # In a process of its own, for the same reason.
        command = [sys.executable, "-m", "tests.benchmarks.formats", "--book", str(path), str(rows)]
        subprocess.run(command, check=True)
        return
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.writelines(export(name, rows))


def write_book(path: Path, rows: int) -> None:
    """Write a workbook with the rows of the generic table."""
    lines = (line.rstrip("\n").split(",") for line in export("generic", rows))
    if path.name == SHARED:
        with xlsxwriter.Workbook(path) as shared:
            sheet = shared.add_worksheet("Staff")
            for at, cells in enumerate(lines):
                sheet.write_row(at, 0, cells)
        return
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Staff")
    for cells in lines:
        sheet.append(cells)
    if path.suffix == ".xlsx":
        book.save(path)
        return
    book.save(path.with_suffix(".xlsx"))
    convert = ["soffice", "--headless", "--convert-to", "ods", "--outdir", str(path.parent)]
    subprocess.run([*convert, str(path.with_suffix(".xlsx"))], check=True, capture_output=True)
    path.with_suffix(".xlsx").unlink()


def measure(path: str) -> tuple[str, float, float]:
    """Return the format, the rows read in a second of CPU time, and the peak of memory in MiB."""
    start = time.process_time()
    with open_roster(path, Options()) as roster:
        rows = sum(map(len, roster.pages()))
    speed = rows / (time.process_time() - start)
    return roster.format, speed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def export(name: str, rows: int) -> Iterator[str]:
    """Yield the lines of an export with that many rows."""
    if name == "generic":
        yield "extension,name,email,site,device,password\n"
        for at in range(rows):
            yield f"u{at},Ann Hill,ann{at}@corp.example,north,SEP00{at:010},Kestrel-{at}x\n"
        return
    if name in ENTRIES:
        begin, end = AROUND.get(name, ("", ""))
        yield begin
        yield from (ENTRIES[name].replace("@@", str(at)) for at in range(rows))
        yield end
        return
    sample = "fusionpbx" if name == SLASHED else name
    path = next(PBX.glob(f"{sample}.[ct]sv"))
    header, first = path.read_text(encoding="utf-8-sig").splitlines()[:2]
    delimiter = max(",;\t", key=header.count)
    names, cells = header.split(delimiter), next(csv.reader([first], delimiter=delimiter))
    user, secret = cells[names.index(USER[name])], _password(path)
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="\n").writerow(
        f"{cell}-@@" if cell == secret else f"u@@{cell[len(user) :]}" if cell.startswith(user) else cell
        for cell in cells
    )
    pattern = line.getvalue()
    if name == SLASHED:
        pattern = pattern.replace("Ann Hill", r'"Ann \"Bee\" Hill"')
    yield header + "\n"
    for at in range(rows):
        yield pattern.replace("@@", str(at))


def _password(sample: Path) -> str:
    """Return the password of a sample's first row."""
    with sample.with_name(f"{sample.stem}.expected.csv").open(encoding="utf-8", newline="") as stream:
        return next(csv.DictReader(stream))["password"]


if __name__ == "__main__":
    main()
