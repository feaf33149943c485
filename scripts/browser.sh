#!/bin/sh
# A browser for the tests of pages, where one can be had: scripts/browser.sh PYTHON. It never fails and says what it did.
python=${1:-python3}

for name in chromium chromium-browser google-chrome google-chrome-stable; do
    if command -v "$name" > /dev/null; then
        echo "browser: $name is here"
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    if { apt-get install -y -q chromium || { apt-get update -q && apt-get install -y -q chromium; }; } > /dev/null 2>&1; then
        echo "browser: chromium was installed with apt-get"
        exit 0
    fi
fi
if "$python" -m playwright install chromium > /dev/null 2>&1; then
    echo "browser: Playwright's chromium is here"
else
    echo "browser: none could be installed; the tests of pages will be skipped"
fi
exit 0
