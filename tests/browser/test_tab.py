"""The tab itself: it sees what pages must not do."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browser.tab import Tab

BAD = """<!doctype html><html lang="en"><head><title>Bad</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"></head>
<body><main><h1>Bad</h1><p style="color: #ccc; background: #fff">pale</p><input>
<img src="x" alt="" onerror="alert(1)"></main></body></html>"""


def test_a_tab_sees_what_a_page_must_not_do(browser: Browser) -> None:
    """A script that the policy stops, a pale text and an input without a label are all reported."""
    tab = Tab(browser)
    tab.page.set_content(BAD)
    with pytest.raises(AssertionError, match=r"color-contrast(.|\n)*label"):
        tab.check_accessible()
    with pytest.raises(AssertionError, match="Content Security Policy"):
        tab.check_quiet()
    tab.faults.clear()
    tab.page.evaluate("alert(2)")
    with pytest.raises(AssertionError, match="dialog: 2"):
        tab.check_quiet()
    tab.close()
