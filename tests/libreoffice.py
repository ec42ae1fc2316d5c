"""LibreOffice, without a screen: workbooks as people make them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def convert(files: list[Path], to: str, folder: Path, *options: str) -> list[Path]:
    """Open files in LibreOffice Calc and save them in another format; return the new files.

    ``to``: the extension, perhaps with a filter and its options. Starting takes a second: give all at once.
    """
    folder.mkdir(parents=True, exist_ok=True)
    profile = (folder.parent / ".profile").absolute().as_uri()  # made once: that takes longer than starting
    subprocess.run(
        [
            "soffice", f"-env:UserInstallation={profile}", "--headless",
            *options, "--convert-to", to, "--outdir", str(folder), *map(str, files),
        ],
        check=True, capture_output=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    saved = [folder / f"{file.stem}.{to.partition(':')[0]}" for file in files]
    assert all(file.exists() for file in saved)
    return saved
