#!/bin/sh
# The browser tests need Chromium: on PATH, else installed as root, else said in one line.
set -u
command -v chromium >/dev/null || command -v chromium-browser >/dev/null && exit 0
as_root=""
[ "$(id -u)" -eq 0 ] || as_root="sudo -n"
if command -v apt-get >/dev/null && $as_root true 2>/dev/null; then
  echo "installing Chromium for the browser tests ..."
  $as_root apt-get -q update >/dev/null 2>&1
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends chromium >/dev/null 2>&1
  command -v chromium >/dev/null && exit 0
fi
echo "the browser tests need Chromium; as root: apt-get install chromium" >&2
exit 1
